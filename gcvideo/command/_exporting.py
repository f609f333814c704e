"""The command that writes a checkpoint as a file of another format."""

from pathlib import Path

from omegaconf import DictConfig
from rich.filesize import decimal
from rich.table import Table

from gcvideo._console import Console
from gcvideo.command._output_check import check_file
from gcvideo.command._video_list import find_videos
from gcvideo.inference import export_classifier, load

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
    _CONSOLE.print(f"checkpoint {classifier.source}", soft_wrap=True)
    with _CONSOLE.status(f"Writing and checking {output}"):
        differences = export_classifier(classifier, output, crop_size=cfg.crop_size, videos=videos)
    table = Table("compared with the checkpoint on", "largest difference")
    for name, difference in differences.items():
        table.add_row(name, f"{difference:.1e}")
    _CONSOLE.print(table)
    _CONSOLE.print(f"{output}: {decimal(output.stat().st_size)}", soft_wrap=True)
    return differences
