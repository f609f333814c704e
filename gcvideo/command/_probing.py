"""The command that scores a checkpoint on clips with their frames out of order."""

from collections.abc import Mapping

from omegaconf import DictConfig
from rich.progress import track
from rich.table import Table

from gcvideo._console import Console
from gcvideo.command._checkpoint_data import Evaluation, naming_bad_videos
from gcvideo.command._device import choose_device
from gcvideo.comparison._probe import TimeNeed, class_time_needs, score_under_probes, time_need
from gcvideo.data import VideoDataModule, write_table

_CONSOLE = Console()
_NUM_SHOWN = 10


def probe(cfg: DictConfig) -> TimeNeed:
    """Score a checkpoint on clips with their frames out of order, as configured by ``conf/probe.yaml``.

    The run folder gets ``probes.csv`` with one row per class, ``scores_ordered.csv`` and such a table
    for each probe with one row per video, and ``results.json``. Computes on one device.

    Returns:
        The result for all videos together.

    Raises:
        BadVideosError: if listed videos cannot be read; all of them are in ``bad_videos.csv``.
        ValueError: if the clips have a single frame, or for an unknown ``precision``.
    """
    evaluation = Evaluation.settle(cfg)
    evaluation.begin()
    folder, protocol = evaluation.folder, evaluation.protocol
    classes = evaluation.checkpoint.classes
    model = evaluation.checkpoint.build_model(protocol, list(cfg.packages))
    model.to(choose_device(cfg.device))
    data = VideoDataModule(evaluation.splits, protocol=protocol, num_workers=cfg.num_workers)
    with naming_bad_videos(data, folder):
        batches = track(
            data.test_dataloader(),
            "Probing",
            total=len(evaluation.splits.test),
            transient=True,
            console=Console(stderr=True),
        )
        scores = score_under_probes(
            model, batches, average=protocol.average, seed=cfg.seed, dtype=evaluation.precision
        )
    overall, by_class = time_need(scores), class_time_needs(scores, classes)
    for kind, table in scores.items():
        table.write(folder / f"scores_{kind}.csv", evaluation.listed, classes)
    columns = ("class", "num_videos", *(f"top1_{kind}" for kind in overall.top1), "needs_time")
    rows = (
        (name, need.num_videos, *(f"{x:.6f}" for x in (*need.top1.values(), need.needs_time)))
        for name, need in by_class.items()
    )
    write_table(folder / "probes.csv", columns, rows)
    _show(overall, by_class)
    evaluation.write_results(
        {
            "needs_time": overall.needs_time,
            "top1": dict(overall.top1),
            "seed": cfg.seed,
            "videos_scored": overall.num_videos,
        }
    )
    _CONSOLE.print(f"{overall.num_videos} videos; results in {folder}", soft_wrap=True)
    return overall


def _show(overall: TimeNeed, needs: Mapping[str, TimeNeed]) -> None:
    table = Table(title="top-1 under probes of the frame order", title_justify="left")
    table.add_column("class")
    for heading in ("videos", *overall.top1, "needs time"):
        table.add_column(heading, justify="right")
    most = sorted(needs.items(), key=lambda item: item[1].needs_time, reverse=True)[:_NUM_SHOWN]
    for name, need in [("all videos", overall), *most]:
        shares = (f"{share:.1%}" for share in need.top1.values())
        table.add_row(name, str(need.num_videos), *shares, f"{need.needs_time:+.1%}")
        if need is overall:
            table.add_section()
    if len(needs) > _NUM_SHOWN:
        table.caption = f"the {_NUM_SHOWN} of {len(needs)} classes that need the order most"
    _CONSOLE.print(table)
