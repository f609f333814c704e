"""A folder with the files that the commands of the documents name, all of them tiny."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from conftest import numbered_frames
from gcvideo_runs import TINY
from peer_layout import (
    C2D,
    FIVE,
    I3D,
    MMACTION2,
    PYSLOWFAST,
    PYTORCHVIDEO,
    SLOW,
    TORCHVISION,
    Peer,
    random_state,
)

from gcvideo.data import write_video

CLASSES = ("dark", "light")
# Sets of videos with their lists inside.
_LISTED = ("data/k256", "small/ut_interaction", "small/arid6_gamma")
# Sets whose lists stand beside them.
_NAMED = ("ut_interaction", "grid_s1_words", "clip_order6")
# They all hold the same.
SETS_ALIKE = (*_NAMED, "arid6_gamma")
# Checkpoints of a net with non-local blocks, and of one with context blocks: those of its run come first.
NL_COPIES = (
    *("runs/RUN/checkpoints/last.ckpt", "runs/RUN/checkpoints/best.ckpt"),
    *("best.ckpt", "last.ckpt", "nl.ckpt", "CKPT", "RUN/checkpoints/best.ckpt", "runs/last.ckpt"),
    "runs/nl/seed0/checkpoints/last.ckpt",
    "runs/compare/cue_nl_kinds/cells/nl_kind-gaussian/seed0/checkpoints/last.ckpt",
)
GC_COPIES = (
    "runs/demo_i3d_gc/DATE/checkpoints/best.ckpt",
    "gc.ckpt",
    "runs/gc/seed0/checkpoints/last.ckpt",
)


def make_files(folder: Path) -> None:
    """Videos, lists and weights of others; what comes from trainings is not among them.

    Args:
        folder: empty.
    """
    _write_set(folder / "videos")
    for name in _LISTED:
        _write_set(folder / name)
        _write_lists(folder / name)
    for name in _NAMED:
        _write_set(folder / name)
        _write_lists(folder, prefix=f"{name}_")
        _write_groups(folder / f"{name}.csv")
    _write_groups(folder / "groups.csv")
    for name in ("runs/compare/NAME", "docs/results/grid_s1_words"):
        table = folder / name / "table.csv"
        table.parent.mkdir(parents=True)
        table.write_text(
            'variant,"top-1, mean (fraction)","top-1, spread (fraction)"\nnone,0.5,\nse,0.6,\n'
        )
    _write_lists(folder)
    _write_kinetics(folder / "data" / "k400", folder)
    _write_set(folder / "clips")
    shutil.copy(folder / "videos" / "dark" / "0.mp4", folder / "clip.mp4")
    write_video(folder / "match.mp4", np.concatenate([numbered_frames(40)] * 3))
    _write_weights(folder)
    (folder / "mine" / "model").mkdir(parents=True)
    (folder / "mine" / "model" / "my_net.yaml").write_text("defaults: [c2d]\nname: my_net\n")


def make_nets(folder: Path, run: Callable[..., None]) -> None:
    """Checkpoints and runs, below the working folder.

    Args:
        folder: the working folder, with the files of :func:`make_files`.
        run: a command of ours, with its words.
    """
    train = ["train", *TINY, "log_every_n_steps=1", "epochs=2", "sampling_rate=2"]
    run(*train, "model=c2d_nl", "data=folder", "data.root=videos", "hydra.run.dir=runs/RUN")
    demo = ["data.train_per_class=1", "data.val_per_class=1"]
    run(*train, "model=i3d_gc", *demo, "hydra.run.dir=runs/demo_i3d_gc/DATE")
    kinetics = ["data=kinetics400", "data.root=data/k400"]
    run(*train, "model=slow_gc", *kinetics, "hydra.run.dir=runs/kinetics400_slow_gc/DATE")
    own = ["protocol=pytorchvideo", "classes=kinetics400"]
    run("convert", "slow.pyth", "slow_8x8_r50_pytorchvideo.safetensors", *own)
    run("export", "runs/RUN", "net.xml")
    for first, *copies in (NL_COPIES, GC_COPIES):
        for copy in copies:
            (folder / copy).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / first, folder / copy)
    for name in ("demo_i3d_gc", "kinetics400_slow_gc"):
        # As if it had been killed in its second epoch.
        (folder / "runs" / name / "DATE" / "results.json").unlink()
        (folder / "runs" / name / "DATE" / "checkpoints" / "last.ckpt").unlink()


def _write_set(folder: Path, count: int = 3) -> None:
    """A folder for each class, with videos of two thirds of a second."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            frames = numbered_frames(20) // 2 + 120 * label
            write_video(folder / name / f"{number}.mp4", frames.astype(np.uint8))


def _write_lists(folder: Path, prefix: str = "") -> None:
    for split, numbers in (("train", (0, 1)), ("val", (2,)), ("test", (2,))):
        lines = [f"{name}/{n}.mp4 {label}\n" for label, name in enumerate(CLASSES) for n in numbers]
        (folder / f"{prefix}{split}.txt").write_text("".join(lines))
    (folder / f"{prefix}classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))


def _write_groups(file: Path) -> None:
    rows = [f"{name}/{n}.mp4,{n}\n" for name in CLASSES for n in range(3)]
    file.write_text("file,group\n" + "".join(rows))


def _write_kinetics(folder: Path, working_folder: Path) -> None:
    """Videos by the names of Kinetics, and the official tables beside them and in the working folder."""
    _write_set(folder, count=9)
    # The shortest clips of multigrid come sixteen at a time.
    for split, numbers in (("train", range(8)), ("val", (8,))):
        rows = ["label,youtube_id,time_start,time_end,split\n"]
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for n in numbers:
                key = f"{name[:5]:_<10}{n}"
                (folder / name / f"{n}.mp4").rename(
                    folder / split / name / f"{key}_000005_000015.mp4"
                )
                rows.append(f"{name},{key},5,15,{split}\n")
        for place in (folder, working_folder):
            (place / f"{split}.csv").write_text("".join(rows))
    for name in CLASSES:
        (folder / name).rmdir()


def _write_weights(folder: Path) -> None:
    """Random weights of others, by the names that they have in the documents."""
    with_pool = {"temporal_pool": True, "num_classes": 400}
    for name, key, peer in (
        ("SLOWONLY.pth", "state_dict", Peer(names=MMACTION2, kernels=SLOW, num_classes=400)),
        ("slow.pyth", "model_state", Peer(names=PYTORCHVIDEO, kernels=SLOW, num_classes=400)),
        ("i3d.pyth", "model_state", Peer(names=PYTORCHVIDEO, kernels=I3D, **with_pool)),
        (
            "I3D_NLN_8x8_R50.pyth",
            "model_state",
            Peer(names=PYSLOWFAST, kernels=I3D, inserted=FIVE, **with_pool),
        ),
    ):
        torch.save({key: random_state(peer)}, folder / name)
    images = Peer(names=TORCHVISION, kernels=C2D, flat=True)
    torch.save(random_state(images), folder / "resnet50.pth")
