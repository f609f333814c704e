"""The command that scores a checkpoint on a test split."""

from typing import Any, cast

from lightning import Trainer
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command._assembly import build_trainer
from gcvideo.command._checkpoint_data import Evaluation, naming_bad_videos
from gcvideo.command._rank_config import announce_to_children, own_ranks
from gcvideo.command._run_report import calibration_record, report_test
from gcvideo.data import VideoDataModule
from gcvideo.inference import TrainedClassifier
from gcvideo.models import ClipClassifier
from gcvideo.training import VideoClassifier

_CONSOLE = Console()


@own_ranks()
def test(cfg: DictConfig) -> dict[str, float]:
    """Score a checkpoint on a test split with all views, as configured by ``conf/test.yaml``.

    The run folder gets ``scores.csv`` with one row per video, ``results.json`` with the metrics, the
    protocol, and the numbers of videos listed and scored, and with ``report`` a page on them.

    Raises:
        BadVideosError: if listed videos cannot be read; all of them are in ``bad_videos.csv``.
        RuntimeError: if a listed video was not scored.
        ValueError: for an unknown ``precision``, or if ``trainer`` sets another one.
    """
    if str(cfg.trainer.precision) not in ("auto", "32", "32-true"):
        raise ValueError(
            f"trainer.precision is '{cfg.trainer.precision}', which is for training; a test takes its type "
            "from precision: float32, bfloat16 or float16"
        )
    # With "auto", the result of a test would depend on the processor or GPU.
    cfg.trainer.precision = "32-true"
    evaluation = Evaluation.settle(cfg)
    checkpoint, protocol = evaluation.checkpoint, evaluation.protocol
    module = VideoClassifier(
        _build_model(evaluation),
        classes=checkpoint.classes,
        average=cast(Any, protocol.average),
        precision=evaluation.precision,
    )
    data = _TestData(evaluation.splits, protocol=protocol, num_workers=cfg.num_workers)
    trainer: Trainer = build_trainer(cfg)
    if trainer.is_global_zero:
        evaluation.begin()
        announce_to_children(evaluation.folder / "config.yaml")
    with naming_bad_videos(data, evaluation.folder):
        trainer.test(module, data, verbose=False)
    metrics = module.test_metrics()
    if trainer.is_global_zero:
        _write(evaluation, trainer, module, metrics)
    num_listed, num_scored = len(evaluation.splits.test), len(module.test_scores)
    if num_scored != num_listed:
        raise RuntimeError(
            f"{num_listed} videos are listed but {num_scored} were scored, so the metrics are not those of "
            "the list"
        )
    return metrics


def _build_model(evaluation: Evaluation) -> ClipClassifier:
    """The model to be tested; writes into the configuration what computes it, and in which type."""
    cfg, checkpoint, protocol = evaluation.cfg, evaluation.checkpoint, evaluation.protocol
    classifier = TrainedClassifier(
        checkpoint.build_model(protocol, list(cfg.packages)),
        classes=checkpoint.classes,
        protocol=protocol,
        dtype=evaluation.precision,
    )
    if (cfg.engine or classifier.engine) != "torch" or cfg.precision == "int8":
        classifier = classifier.for_inference(engine=cfg.engine, precision=cfg.precision)
    cfg.engine, cfg.precision = classifier.engine, classifier.precision
    return classifier.model


class _TestData(VideoDataModule):
    """If there are more ranks than videos, some score a video again, which counts once.

    Otherwise, Lightning would leave ranks without videos out of the test, and the others would wait for them.
    """

    def _ranks(self) -> dict[str, int]:
        ranks = super()._ranks()
        return ranks | {"rank": ranks["rank"] % max(1, len(self.splits.test))}


def _write(
    evaluation: Evaluation, trainer: Trainer, module: VideoClassifier, metrics: dict[str, float]
) -> None:
    folder, scores = evaluation.folder, module.test_scores
    num_listed = len(evaluation.splits.test)
    scores.write(folder / "scores.csv", evaluation.listed, evaluation.checkpoint.classes)
    for name, value in sorted(metrics.items()):
        _CONSOLE.print(f"  {name:28s} {value:.4f}")
    evaluation.write_results(
        {
            "metrics": metrics,
            "videos_listed": num_listed,
            "videos_scored": len(scores),
            "videos_failed": num_listed - len(scores),
            "calibration": calibration_record(scores),
        }
    )
    _CONSOLE.print(
        f"  {len(scores)} of {num_listed} videos scored, {evaluation.protocol.num_views} views each; "
        f"results in {folder}",
        soft_wrap=True,
    )
    if evaluation.cfg.report:
        report_test(evaluation, trainer, scores, metrics)
