import csv
import glob
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gcvideo.data import VIDEO_SUFFIXES, VideoReadError
from gcvideo.inference import Prediction, load
from gcvideo.run.record import write_json

_CONSOLE = Console(highlight=False)


def predict(cfg: DictConfig) -> tuple[dict[str, list[Prediction]], dict[str, str]]:
    """Classify a file, a folder or a glob of videos, as configured by ``conf/predict.yaml``.

    Returns:
        Rankings by path, and the reason by path for files that could not be read. Readable files
        are all classified and written, whatever became of the others.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: if ``output`` is neither json nor csv.
    """
    output = None if cfg.output is None else Path(cfg.output)
    if output is not None and output.suffix not in (".json", ".csv"):
        raise ValueError(f"output is '{output}'; give a file ending in .json or .csv")
    videos = find_videos(str(cfg.video))
    classifier = load(cfg.checkpoint, device=cfg.device, packages=list(cfg.packages))
    rankings: dict[str, list[Prediction]] = {}
    failures: dict[str, str] = {}
    for video in track(videos, "Classifying", console=_CONSOLE, disable=len(videos) == 1):
        try:
            rankings[video] = classifier.classify(
                video, cfg.top_k, num_clips=cfg.num_clips, num_crops=cfg.num_crops
            )
        except VideoReadError as error:
            failures[video] = str(error)
    _show(rankings, failures)
    if output is not None:
        _write(output, rankings, failures)
    return rankings, failures


def find_videos(pattern: str) -> list[str]:
    """Videos that a file name, a folder (searched in depth) or a glob stands for, sorted.

    Raises:
        FileNotFoundError: if there is none.
    """
    path = Path(pattern)
    if path.is_file():
        return [pattern]
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
    else:
        # Path.glob takes no absolute pattern.
        matches = glob.glob(pattern, recursive=True)  # noqa: PTH207
        found = [p for p in map(Path, matches) if p.is_file()]
    if not found:
        raise FileNotFoundError(
            f"no video at '{pattern}'; give a file, a folder with videos or a quoted glob like 'clips/*.mp4'"
        )
    return sorted(str(p) for p in found)


def _show(rankings: dict[str, list[Prediction]], failures: dict[str, str]) -> None:
    table = Table("video", "class", "score")
    for video, ranking in rankings.items():
        for rank, prediction in enumerate(ranking):
            table.add_row(video if rank == 0 else "", prediction.name, f"{prediction.score:.3f}")
    if rankings:
        _CONSOLE.print(table)
    for reason in failures.values():
        _CONSOLE.print(reason, soft_wrap=True, markup=False)


def _write(output: Path, rankings: dict[str, list[Prediction]], failures: dict[str, str]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix == ".json":
        content: dict[str, Any] = {
            "predictions": {v: [asdict(p) for p in ranking] for v, ranking in rankings.items()},
            "failures": failures,
        }
        write_json(output, content)
        return
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "rank", "label", "name", "score", "error"])
        for video, ranking in rankings.items():
            for rank, p in enumerate(ranking, 1):
                writer.writerow([video, rank, p.label, p.name, f"{p.score:.6f}", ""])
        for video, reason in failures.items():
            writer.writerow([video, "", "", "", "", reason])
