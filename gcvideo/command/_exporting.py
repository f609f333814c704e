"""The command that writes a checkpoint as a file of another format."""

from pathlib import Path
from typing import cast

import numpy as np
from omegaconf import DictConfig
from rich.filesize import decimal
from rich.table import Table

from gcvideo._console import Console
from gcvideo.command._checkpoint_data import checkpoint_splits
from gcvideo.command._output_check import check_file
from gcvideo.command._video_list import find_videos
from gcvideo.inference import EngineModel, export_classifier, load, read_checkpoint

_CONSOLE = Console()


def export(cfg: DictConfig) -> dict[str, float]:
    """Write a checkpoint as an ONNX or torch.export file, as configured by ``conf/export.yaml``.

    Returns:
        The largest absolute difference between file and checkpoint for each group of clips.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: as from :func:`~gcvideo.inference._export.export_classifier`.
    """
    videos = [] if cfg.video is None else find_videos(str(cfg.video))
    output = Path(cfg.output)
    check_file(output, "output")
    classifier = load(cfg.checkpoint, device="cpu", packages=list(cfg.packages))
    calibration = _training_videos(cfg) if cfg.precision == "int8" else []
    _CONSOLE.print(f"checkpoint {classifier.source}", soft_wrap=True)
    with _CONSOLE.status(f"Writing and checking {output}"):
        differences = export_classifier(
            classifier,
            output,
            precision=cfg.precision,
            calibration=calibration,
            min_agreement=cfg.min_agreement,
            crop_size=cfg.crop_size,
            videos=videos,
        )
    table = Table("compared with the checkpoint on", "largest difference")
    for name, difference in differences.items():
        table.add_row(name, f"{difference:.1e}")
    _CONSOLE.print(table)
    for file in (output, output.with_suffix(".bin")) if output.suffix == ".xml" else (output,):
        _CONSOLE.print(f"{file}: {decimal(file.stat().st_size)}", soft_wrap=True)
    if cfg.precision == "int8":
        _CONSOLE.print(_describe(cast(EngineModel, load(output).engine_model)), soft_wrap=True)
    return differences


def _training_videos(cfg: DictConfig) -> list[str]:
    """Some videos of the training, in an order of their own that is always the same."""
    listed = checkpoint_splits(cfg, read_checkpoint(cfg.checkpoint), "train").train
    order = np.random.default_rng(0).permutation(len(listed))
    return [listed.path(int(video)) for video in order[: cfg.calibration_clips]]


def _describe(model: EngineModel) -> str:
    """What quantisation did to a net."""
    record = model.record
    in_float, num_products = record["products_in_float"], record["products"]
    lines = [
        f"int8       {num_products - len(in_float)} of {num_products} products, in float "
        f"{', '.join(in_float) or 'none'}",
        f"agreement  on {record['measured_clips']} training clips that did not calibrate: the same best class "
        f"in {record['top1_agreement']:.1%}, logits differ by {record['relative_error']:.1%} of their spread, "
        f"scores by {record['score_distance']:.1%}",
    ]
    if "controlled_agreement" in record:
        lines.insert(
            1,
            f"control    on {record['controlling_clips']} others: the same best class in "
            f"{record['controlled_agreement']:.1%}",
        )
    return "\n".join(lines)
