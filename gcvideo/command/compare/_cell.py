"""The cells of a comparison: a variant trained with a seed and scored, one after the other or by a launcher."""

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from jaxtyping import Float, Int64
from lightning import seed_everything
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import Tensor

from gcvideo._console import Console
from gcvideo._duration import duration
from gcvideo._hint import override
from gcvideo.command._assembly import build
from gcvideo.command._device import device_of
from gcvideo.command._record import write_json
from gcvideo.command._submission import submitted_jobs
from gcvideo.command.compare._request import ComparisonRequest
from gcvideo.command.train._resuming import resumed_config
from gcvideo.command.train._training import train
from gcvideo.comparison._probe import ORDERED, PROBES, score_under_probes, time_need
from gcvideo.data import VideoDataModule, VideoSplits
from gcvideo.inference import read_checkpoint
from gcvideo.inference._checkpoint import write_tensors
from gcvideo.models import inserted_blocks, precision_type
from gcvideo.training import TrainingStopped

_EXTRAS = {"joblib": "joblib", "submitit": "slurm"}
_POLL_SECONDS = 0.5


class CellScores(NamedTuple):
    """What a finished cell left behind: the content of ``cell.json``, and a row per test video."""

    content: dict[str, Any]
    labels: Int64[Tensor, " n"]
    scores: Float[Tensor, "n k"]


def run_cell(cfg: DictConfig) -> None:
    """Train and score one cell in ``cfg.output_dir``, or continue it if it was begun.

    Its output goes to ``log.txt`` there. ``cell.json`` is written last and marks it as finished;
    ``failure.txt`` says why it failed. A signal becomes a KeyboardInterrupt, so that a launcher starts no
    other cell.
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
            train(cfg, log=None)  # the one above has it all
            _score(cfg, folder, started)
        except TrainingStopped as stopped:
            raise KeyboardInterrupt from stopped
        except Exception as error:
            text = f"{type(error).__name__}: {error}\n"
            (folder / "failure.txt").write_text(text, "utf-8", "backslashreplace")
            raise


def is_finished(folder: Path) -> bool:
    return (folder / "cell.json").is_file()


def read_cell(folder: Path) -> CellScores:
    content = json.loads((folder / "cell.json").read_text("utf-8"))
    tensors = load_file(folder / "scores.safetensors")
    return CellScores(content, tensors["labels"], tensors["scores"])


def _score(cfg: DictConfig, folder: Path, started: float) -> None:
    """Score all views of the protocol, in order and under the probes, by the weights of the last epoch."""
    # Not of the best epoch: where validation and test share videos, choosing would flatter.
    checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    protocol = checkpoint.build_protocol()
    model = checkpoint.build_model(protocol).to(device_of(cfg.trainer))
    splits: VideoSplits = build(cfg.data)
    data = VideoDataModule(
        splits,
        protocol=protocol,
        num_workers=cfg.num_workers,
        test_batch_size=max(1, cfg.batch_size // protocol.num_views),
    )
    seed_everything(cfg.seed, workers=False, verbose=False)
    tables = score_under_probes(
        model,
        data.test_dataloader(),
        average=protocol.average,
        kinds=PROBES if protocol.spec.num_frames > 1 else (),
        seed=cfg.seed,
        dtype=precision_type(cfg.val_precision, "val_precision"),
    )
    videos, ordered = list(splits.test.paths), tables[ORDERED]
    if len(ordered) != len(videos):
        raise RuntimeError(
            f"{len(videos)} videos are listed but {len(ordered)} were scored, so the cell "
            "does not represent the list"
        )
    ordered.write(folder / "scores.csv", videos, splits.classes)
    labels, scores = ordered.labels(), ordered.scores()
    write_tensors(folder / "scores.safetensors", {"labels": labels, "scores": scores})
    top1 = dict(time_need(tables).top1)
    content = {
        "model": cfg.model.name,
        "seed": cfg.seed,
        "precision": {"training": cfg.trainer.precision, "test": cfg.val_precision},
        "top1": top1.pop(ORDERED),
        "probes": top1,
        "blocks": [f"{b.stage}.{b.index} {b.kind}" for b in inserted_blocks(model.net)],
        "classes": list(splits.classes),
        "videos": videos,
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_json(folder / "cell.json", content)


class Job(NamedTuple):
    """A cell to be run: its name, such as "gc, seed 1", its folder, and words for ``conf/train.yaml``."""

    name: str
    folder: Path
    overrides: Sequence[str]


def launch(
    jobs: Sequence[Job], folder: Path, request: ComparisonRequest
) -> Mapping[str, BaseException]:
    """Run jobs by a launcher, and return the errors of those that failed by name of the job.

    Hydra must be initialised with the folder of ``train.yaml``.
    """
    config = launcher_config(request, folder)
    loader = GlobalHydra.instance().config_loader()
    context = HydraContext(config_loader=loader, callbacks=Callbacks())
    plugin = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=run_cell, config=config
    )
    overrides = [
        [*job.overrides, override("hydra.sweep.subdir", job.folder.relative_to(folder))]
        for job in jobs
    ]
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(jobs, done), daemon=True)
    watcher.start()
    is_submitted = request.launcher.startswith("submitit")
    try:
        with submitted_jobs() if is_submitted else nullcontext():
            returned = plugin.launch(overrides, initial_job_idx=0)
    finally:
        done.set()
        watcher.join()
    return {
        job.name: result._return_value
        for job, result in zip(jobs, returned, strict=True)
        if isinstance(result._return_value, BaseException)
    }


def launcher_config(request: ComparisonRequest, folder: Path) -> DictConfig:
    """The configuration of Hydra with a launcher; ValueError if it is not installed or lacks a setting."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    launcher = request.launcher
    words = [
        f"hydra/launcher={launcher}",
        override("hydra.sweep.dir", folder),
        "hydra.output_subdir=null",
        "hydra/hydra_logging=none",
        "hydra/job_logging=none",
        *request.settings,
    ]
    try:
        return hydra.compose_config("train", words, RunMode.MULTIRUN, with_log_configuration=False)
    except HydraException as error:
        extra = _EXTRAS.get(launcher.partition("_")[0])
        if extra is not None and "hydra/launcher" in str(error):
            raise ValueError(
                f"the launcher '{launcher}' is not installed; run pip install \"gcvideo[{extra}]\""
            ) from error
        raise ValueError(
            f"not all of {' '.join(request.settings)} fits the launcher '{launcher}' "
            f"({str(error).splitlines()[0]}); leave it out or choose another launcher"
        ) from error


def _watch(jobs: Sequence[Job], done: threading.Event) -> None:
    """Print the progress that the folders show, whatever the launcher."""
    console = Console(file=sys.stdout)  # cells in this process redirect theirs
    started, open_jobs, num_done = time.perf_counter(), list(jobs), 0
    while open_jobs:
        is_over = done.wait(_POLL_SECONDS)
        for job in list(open_jobs):
            if is_finished(job.folder):
                result = read_cell(job.folder).content
                text = f"top-1 {result['top1']:.3f} in {duration(result['seconds'])}"
            elif (job.folder / "failure.txt").is_file():
                text = "failed: " + (job.folder / "failure.txt").read_text("utf-8").splitlines()[0]
            else:
                continue
            open_jobs.remove(job)
            num_done += 1
            left = (time.perf_counter() - started) / num_done * len(open_jobs)
            remaining = f", about {duration(left)} to go" if open_jobs else ""
            console.print(f"[{num_done}/{len(jobs)}] {job.name}: {text}{remaining}", soft_wrap=True)
        if is_over:
            return
