"""One cell of a comparison: a variant trained with a seed, then scored on every test video."""

import json
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int64
from lightning import seed_everything
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from gcvideo._hint import override
from gcvideo.command._assembly import build
from gcvideo.command._record import write_json
from gcvideo.command.train._resuming import resumed_config
from gcvideo.command.train._training import train
from gcvideo.comparison._probe import ORDERED, score_under_probes
from gcvideo.data import VideoDataModule, VideoSplits
from gcvideo.evaluation import VideoScores
from gcvideo.inference import read_checkpoint
from gcvideo.inference._checkpoint import write_tensors
from gcvideo.models import inserted_blocks, precision_type
from gcvideo.training import TrainingStopped

PROBES = ("shuffled", "reversed", "frozen")


class CellScores(NamedTuple):
    """What a finished cell left behind.

    Args:
        content: of ``cell.json``.
        labels: one a test video.
        scores: in [0, 1], one row a test video.
    """

    content: dict[str, Any]
    labels: Int64[Tensor, " n"]
    scores: Float[Tensor, "n k"]


def run_cell(cfg: DictConfig) -> None:
    """Train and score one cell in ``cfg.output_dir``; go on with it if it was begun.

    What it prints goes to ``log.txt`` there. ``cell.json``, written last, says that it is finished;
    ``failure.txt``, why it is not.

    Raises:
        KeyboardInterrupt: after a signal, so that a launcher starts no other cell.
    """
    folder = Path(str(cfg.output_dir))
    cfg.output_dir = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failure.txt").unlink(missing_ok=True)
    started = time.perf_counter()
    with (
        (folder / "log.txt").open(
            "a", buffering=1, encoding="utf-8", errors="backslashreplace"
        ) as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        try:
            if (folder / "config.yaml").is_file():
                cfg = resumed_config([override("resume", folder)])
            train(cfg)
            _score(cfg, folder, started)
        except TrainingStopped as stopped:
            raise KeyboardInterrupt from stopped
        except Exception as error:
            text = f"{type(error).__name__}: {error}\n"
            (folder / "failure.txt").write_text(text, "utf-8", "backslashreplace")
            raise


def is_finished(folder: Path) -> bool:
    """Whether a cell has been trained and scored."""
    return (folder / "cell.json").is_file()


def read_cell(folder: Path) -> CellScores:
    """The result of a finished cell."""
    content = json.loads((folder / "cell.json").read_text("utf-8"))
    tensors = load_file(folder / "scores.safetensors")
    return CellScores(content, tensors["labels"], tensors["scores"])


def top1(labels: Int64[Tensor, " n"], scores: Float[Tensor, "n k"]) -> float:
    """Share of the videos whose best score is that of their label."""
    return float(multiclass_accuracy(scores, labels, scores.shape[1], average="micro"))


def _score(cfg: DictConfig, folder: Path, started: float) -> None:
    """All views of the protocol, in order and under the probes, by the weights of the last epoch."""
    # Not of the best epoch: where validation and test share videos, choosing would flatter.
    checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    protocol = checkpoint.build_protocol()
    uses_gpu = cfg.trainer.accelerator != "cpu" and torch.cuda.is_available()
    model = checkpoint.build_model(protocol).to("cuda" if uses_gpu else "cpu")
    splits: VideoSplits = build(cfg.data)
    data = VideoDataModule(
        splits,
        protocol=protocol,
        num_workers=cfg.num_workers,
        test_batch_size=max(1, cfg.batch_size // protocol.num_views),
    )
    seed_everything(cfg.seed, workers=False, verbose=False)
    scores = score_under_probes(
        model,
        data.test_dataloader(),
        average=cast(Any, protocol.average),
        kinds=PROBES if protocol.spec.num_frames > 1 else (),
        seed=cfg.seed,
        dtype=precision_type(cfg.val_precision, "val_precision"),
    )
    videos = list(splits.test.paths)
    _write(folder, cfg, scores, videos, model, splits.classes, time.perf_counter() - started)


def _write(
    folder: Path,
    cfg: DictConfig,
    scores: dict[str, VideoScores],
    videos: Sequence[str],
    model: Any,
    classes: Sequence[str],
    seconds: float,
) -> None:
    ordered = scores[ORDERED]
    if len(ordered) != len(videos):
        raise RuntimeError(
            f"{len(videos)} videos are listed but {len(ordered)} were scored; the cell does not stand for "
            "the list"
        )
    labels = ordered.labels()
    ordered.write(folder / "scores.csv", videos, classes)
    tensors = {"labels": labels, "scores": ordered.scores()}
    write_tensors(folder / "scores.safetensors", tensors)
    content = {
        "model": cfg.model.name,
        "seed": cfg.seed,
        "precision": {"training": cfg.trainer.precision, "test": cfg.val_precision},
        "top1": top1(labels, ordered.scores()),
        "probes": {
            kind: top1(labels, probed.scores())
            for kind, probed in scores.items()
            if kind != ORDERED
        },
        "blocks": [f"{b.stage}.{b.index} {b.kind}" for b in inserted_blocks(model.net)],
        "classes": list(classes),
        "videos": list(videos),
        "seconds": round(seconds, 1),
    }
    write_json(folder / "cell.json", content)
