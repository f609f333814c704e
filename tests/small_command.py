"""How a documented command becomes one that takes seconds on a CPU: words replaced by their keys."""

import importlib.util
import re
from collections.abc import Hashable, Sequence
from pathlib import PurePath

from command_sandbox import GC_COPIES, NL_COPIES, SETS_ALIKE
from documented_command import DocumentedCommand
from gcvideo_runs import TINY

from gcvideo import cli
from gcvideo.command.configuration._command_words import _with_plain
from gcvideo.command.configuration._composition import key_of
from gcvideo.weights import ZOO

# Patterns of commands that are not run, and why.
NOT_RUN = {
    r"^(?:\w+=\w+ )?python benchmarks/": (
        "takes minutes; tests run the scripts at small sizes, of soak.py what it makes of samples"
    ),
    r"^sbatch ": "needs SLURM; tests/test_scaling.py runs the script with stand-ins",
    r" min_agreement=": (
        "takes minutes with a net of many products; tests/inference/engine/test_int8.py has one of few"
    ),
    r"gcvideo merge | shard=": (
        "needs all parts; tests/command/test_merging.py and dataset/test_parts.py make and join them"
    ),
    r" what=engine": "takes minutes; tests/benchmarks/test_speed_engine.py runs it at a small size",
    r"gcvideo demo ": "serves until it is stopped; tests/command/demo asks it and stops it",
    r" video=(?:rtsp://|/dev/)": (
        "needs a camera; tests/command/predict/test_cut_stream.py sends a video and cuts it"
    ),
    r"^python examples/service\.py ": (
        "serves until it is stopped; tests/example asks it and stops it"
    ),
    r"^python examples/ray_data\.py ": "needs Ray; tests/test_example.py runs it where that is installed",
    r"^pip install ": ".ci/run installs the package into a fresh environment",
    r"^pytest": "is what runs this",
    r"^make ": "calls what .ci/run calls",
}
_DEVICE = ["device=cpu", "num_workers=0"]
_TRAINING = [
    *(word for word in TINY if word != "trainer=cpu"),
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "trainer.check_val_every_n_epoch=1",
    "log_every_n_steps=1",
    "seed=0",
]
_CELLS = [
    *(word for word in TINY if "progress" not in word),
    *("seeds=0", "launcher=local", "num_threads=1", "trainer.limit_train_batches=1"),
    *("trainer.check_val_every_n_epoch=1", "log_every_n_steps=1"),
]
_CROP = "crop_size=32"
_TWO_RANKS = "trainer.devices=2"
_NETS = 'models=["slow_gc width=4"]'
_SMALL = {
    "test": ["report=false", "trainer=cpu", "num_workers=0", "trainer.enable_progress_bar=false"],
    "predict": _DEVICE,
    "probe": _DEVICE,
    "attention stats": _DEVICE,
    "attention show": ["device=cpu"],
    "cost": ["models=[c2d_gc]", "num_frames=2", "crop_sizes=[32]"],
    "check": ["num_workers=1"],
    "index": ["num_workers=1"],
    "reencode": ["num_workers=1"],
    "benchmark": [
        *("device=cpu", "rounds=1", "num_frames=2", "crop_size=32", "batch_size=2", _NETS),
        *("shapes=[[1,16,2,4,4]]", "non_local_shape=[1,8,2,4,4]", "compiled=false"),
    ],
}
# Keys of what a command writes.
OUTPUTS = ("output", "json", "annotated", "contact_sheets", "folder")
_PLACEHOLDERS = {
    "checkpoint": "best.ckpt",
    "data.root": "videos",
    "data.train": "train.txt",
    "data.val": "val.txt",
    "weights.path": "gc.ckpt",
}
_ELSEWHERE = (
    (r"=/data/", "=data/"),
    (r"=\.\.\./", "=runs/"),
    (r"=~/\.cache/.*\.mp4$", "=clip.mp4"),
)
# Files in the place of published weights: a word that names weights goes before an experiment.
STARTS = {
    "weights=resnet50_torchvision_v1": "resnet50.pth",
    "weights=i3d_8x8_r50_pytorchvideo": "i3d.pyth",
    "weights=slow_8x8_r50_pytorchvideo": "slow.pyth",
    "experiment=kinetics400_imagenet": "resnet50.pth",
    "experiment=finetune_blocks": "slow.pyth",
    "experiment=finetune_all": "slow.pyth",
}


def not_run(command: DocumentedCommand) -> list[str]:
    """The patterns of ``NOT_RUN`` that a command fits."""
    return [pattern for pattern in NOT_RUN if re.search(pattern, command.text)]


def small_words(command: DocumentedCommand) -> list[str]:
    """The words behind the name of a command, made small.

    Args:
        command: of ours, or one of torchrun that starts a training.
    """
    words = [_in_sandbox(word) for word in command.words if word != "..."]
    if command.name == "compare":
        return _replaced(words, [*_CELLS, *_set_size(words), *_two_variants(words)])
    if command.name == "export" and any(key_of(word) == "crop_size" for word in words):
        return _replaced(words, [_CROP])
    if command.name == "train":
        return _small_training(words, starts_two=command.argv[0] == "torchrun")
    small = _SMALL.get(command.name, [])
    if "what=worth" in words:  # its models are those of a table
        small = _replaced(small, ['models=["i3d width=4"]'])
    return _replaced(words, small)


def outcome(command: DocumentedCommand, words: Sequence[str]) -> tuple[Hashable, ...]:
    """What tells a run at the small size from those of other commands.

    Words that stand alone are given their keys, as the command reads them. Outputs may have any name, and
    files and sets that hold the same any of theirs; clips are longer than the videos at each documented
    ``sampling_rate``.

    Args:
        command: one that is run.
        words: from :func:`small_words`.
    """
    # scripts/train.py is run by the jobs of tests/command/train/test_ranks.py.
    program = "torchrun" if command.argv[0] == "torchrun" else "gcvideo"
    if not command.name or any(word.startswith("--") for word in words):
        return program, command.name, *words
    known = cli.COMMANDS.get(command.name)  # not scripts/benchmark.py
    flags = [word for word in words if word.startswith("-")]
    others = [word for word in words if not word.startswith("-")]
    overrides = _with_plain(command.name, others, known.plain if known else ())
    found = set(map(_without_names, overrides))
    if command.name == "export":
        found.discard(_CROP)  # that of the checkpoint
    return program, command.name, *flags, frozenset(found)


def _without_names(word: str) -> str:
    key, _, value = word.partition("=")
    value = value.strip("'\"")
    if key in OUTPUTS:
        return f"{key}={PurePath(value).suffix}"
    if key == "sampling_rate":
        return key
    for copies in (NL_COPIES, GC_COPIES):
        if value in copies:
            return f"{key}={copies[0]}"
    for name in SETS_ALIKE:
        value = value.replace(name, SETS_ALIKE[0])
    return f"{key}={value}"


def needs_process(words: Sequence[str]) -> bool:
    """Whether a training has processes of its own, and so cannot run within that of a test."""
    return any(key_of(word) == "hydra/launcher" for word in words) or _TWO_RANKS in words


def _small_training(words: list[str], *, starts_two: bool) -> list[str]:
    """A training under DDP is one of torchrun, one of Lightning's, or one that goes on with other devices.

    That Lightning starts its ranks is tested in tests/command/train/test_ranks.py, so that here one does.
    """
    placed = ["trainer=cpu"]
    if _trainer(words) != "cpu":
        resumes = any(key_of(word) == "resume" for word in words)
        placed = [
            *("trainer.accelerator=cpu", "trainer.num_nodes=1", "num_workers=0", "batch_size=2"),
            _TWO_RANKS if starts_two or resumes else "trainer.devices=1",
        ]
    elif any(key_of(word) == "trainer.devices" for word in words):
        placed.append(
            "batch_size=1"
        )  # an estimate for more devices than there are videos for batches
    if any(key_of(word) == "resume" for word in words):
        return _replaced(words, placed if _trainer(words) != "cpu" else [])
    small = [*_replaced(_TRAINING, placed), *_set_size(words)]
    if "experiment=kinetics400_multigrid" in words:
        small = _replaced(
            small, ["epochs=4", "scheduler.milestones=[1,2,3]", "batch_size=1", "num_frames=8"]
        )
    if any(
        word.startswith(("batch_norm.precise", "experiment=kinetics400_multi")) for word in words
    ):
        small.append("batch_norm.precise_batches=1")
    starts = [path for word, path in STARTS.items() if word in words]
    if starts and "weights=checkpoint" not in words:
        small += ["weights=checkpoint", f"weights.path={starts[0]}"]
        small += ["weights.inflation=mean"] * (starts[0] == "resnet50.pth")
    if "-m" in words:  # two values make a sweep
        words = [re.sub(r"^([^\[,]+=[^\[,]+,[^\[,]+),.*", r"\1", word) for word in words]
    return _replaced(with_launcher(words), small)


def _set_size(words: Sequence[str]) -> list[str]:
    """Of the sets that are made."""
    per_class = ["data.train_per_class=1", "data.val_per_class=1"]
    if "data=cue" in words or "preset=quick" in words:
        return [*per_class, "data.test_per_class=1"]
    has_files = any(word.startswith(("data.root=", "data=")) for word in words)
    return [] if has_files else per_class


def _two_variants(words: Sequence[str]) -> list[str]:
    """Of a comparison; that all values mean something is a test of its own."""
    if words == ["preset=quick"]:
        return []
    kinds = ["block=nl", "kind=gaussian,dot_product"]
    return kinds if any(key_of(word) == "kind" for word in words) else ["block=none,gc"]


def with_launcher(words: Sequence[str]) -> list[str]:
    """SLURM's launcher gives way to one of this machine, which has the same settings but for GPUs and times.

    Where none is installed, jobs run within the command.
    """
    if importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        return [word for word in words if not word.startswith(("hydra/launcher", "hydra.launcher"))]
    if "hydra/launcher=submitit_slurm" in words:
        words = [word for word in words if key_of(word) != "hydra.launcher.max_num_timeout"]
        return _replaced(
            words, ["hydra/launcher=submitit_local", "hydra.launcher.gpus_per_node=null"]
        )
    return list(words)


def _in_sandbox(word: str) -> str:
    key, _, value = word.partition("=")
    if value == "...":
        return f"{key}={_PLACEHOLDERS[key]}"
    if value in ZOO and key in ("checkpoint", "source"):
        return f"{key}=best.ckpt"
    if word in ZOO:
        return "best.ckpt"
    word = re.sub(r"\bhf://\S+", "best.ckpt", word)
    for pattern, there in _ELSEWHERE:
        word = re.sub(pattern, there, word)
    return word


def _trainer(words: Sequence[str]) -> str:
    chosen = [word.partition("=")[2] for word in words if key_of(word) == "trainer"]
    return chosen[-1] if chosen and chosen[-1] != "gpu" else "cpu"


def _replaced(words: Sequence[str], by: Sequence[str]) -> list[str]:
    keys = {key_of(word) for word in by}
    return [word for word in words if "=" not in word or key_of(word) not in keys] + list(by)
