"""The record of a run: configuration, environment and results."""

import json
import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import gcvideo
from gcvideo._draft import draft_of
from gcvideo.data.listing._list_file import write_text

_PACKAGES = (
    *("torch", "torchvision", "pytorchvideo", "av"),
    *("lightning", "torchmetrics", "hydra-core", "numpy"),
)


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON; other processes never see a partial file."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # Bytes of file names that are not UTF-8 become "\udcff", which JSON reads back as in Python.
    write_text(path, text.encode(errors="backslashreplace").decode())


def write_config(path: Path, cfg: DictConfig) -> None:
    """Write a configuration with its interpolations, so that it can be changed and read again."""
    with draft_of(path) as draft:
        OmegaConf.save(cfg, draft)


def write_environment(path: Path) -> None:
    """Write the versions, devices and commit of a run."""
    packages = dict.fromkeys(_PACKAGES)
    for name in packages:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    import torch  # noqa: PLC0415 (commands without a net import this module too)

    write_json(
        path,
        {
            "gcvideo": gcvideo.__version__,
            "git_commit": git_commit(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "cuda_devices": [
                torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
            ],
            "packages": packages,
        },
    )


def git_commit() -> str | None:
    """Commit of the checkout that the package runs from, with "+" if it has changes; None outside one."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(gcvideo.__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def processor_name() -> str:
    """Model name of the processor, if the system provides it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()
