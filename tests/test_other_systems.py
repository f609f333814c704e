"""What other systems lack is not asked for."""

import os
import subprocess
import sys

import pytest

# As on Windows, as far as this package could notice. Others are loaded before: what they ask of the
# system is their concern.
SCRIPT = """
import importlib, os, pkgutil, signal, sys

import av, lightning, lightning.pytorch.callbacks, matplotlib.pyplot, torch, torchmetrics, torchvision
import hydra, filelock, onnx, pytorchvideo.models, rich.progress
import torch.distributed.elastic.multiprocessing.errors
from hydra.core.plugins import Plugins

Plugins.instance()
for name in [name for name in vars(signal) if name.startswith("SIG") and name not in (
    "SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIG_DFL", "SIG_IGN"
)]:
    delattr(signal, name)
del signal.sigwaitinfo
for name in (
    "fork", "getpgid", "getuid", "geteuid", "killpg", "nice", "O_DIRECTORY", "register_at_fork",
    "sched_getaffinity", "setpgrp", "setsid", "statvfs", "sysconf", "sysconf_names", "waitid", "WNOHANG",
):
    delattr(os, name)
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None

import gcvideo

for module in pkgutil.walk_packages(gcvideo.__path__, "gcvideo."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

from pathlib import Path

from gcvideo.data.loading._datamodule import _start_worker
from gcvideo.command._rank_failure import FirstRankWatch
from gcvideo.command.train._step_time import _free_memory
from gcvideo.training._checkpoint_file import sync_folder
from gcvideo.training._progress_checkpoint import SIGNALS, StopSignal

assert SIGNALS == (signal.SIGINT, signal.SIGTERM)
stop = StopSignal()
stop.install()
signal.raise_signal(signal.SIGTERM)
assert stop.received == signal.SIGTERM
stop.restore()
_start_worker(0)
assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
FirstRankWatch("localhost").close()
assert _free_memory(torch.device("cpu")) > 0
open_file = os.open
os.open = None  # Windows opens no folders
sync_folder(Path("."))
os.open = open_file
print("done")
"""


@pytest.mark.slow
def test_every_module_loads_and_works_without_what_windows_lacks(project, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("done\n"), done.stderr
