"""Weights by the path of a file or by their published name."""

import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gcvideo._hint import override
from gcvideo.weights._conversion import convert
from gcvideo.weights._download import cached_file
from gcvideo.weights._hub import (
    WEIGHTS_FILE,
    check_repository,
    hub_weights,
    is_on_hub,
    is_repository,
)
from gcvideo.weights._naming import Inflation
from gcvideo.weights._net_choice import NetChoice
from gcvideo.weights._state_file import CheckpointError, read_state_file
from gcvideo.weights._weights import BLOCKS, COUNTERS, HEAD, Weights
from gcvideo.weights._zoo import class_names, names_published, published_record

BEST = "best.ckpt"


def checkpoint_weights(
    path: str,
    *,
    fresh: Sequence[str] = BLOCKS + HEAD + COUNTERS,
    inflation: Inflation | None = None,
    choice: NetChoice | None = None,
    classes: str | Sequence[str] | None = None,
) -> Weights:
    """Weights in a file: a gcvideo checkpoint, or those of a code base that we can convert.

    Args:
        path: file to read, at once; the folder of a run, for its best.ckpt; or an address of the hub,
            "hf://NAMESPACE/NAME".
        fresh: patterns of parameters that may start fresh; by default inserted blocks and rows of the
            head for other classes. Everything else must match; with ``fresh=[]``, everything.
        inflation: "mean" or "centre" for image weights; None: kernels must have the same length.
        choice: what the tensors of another code base do not show of their net. If it is given, or the
            file has a configuration, the function of the net to be filled is compared with theirs too.
        classes: names of the rows of its head in order, or of a list of them, "kinetics400"; None:
            those in the file, which checkpoints of gcvideo have.

    Raises:
        CheckpointError: for a folder without best.ckpt.
        WeightsError: if the file cannot be read, or shows no net of this package.
    """
    path = str(checkpoint_file(path, "weights.path"))
    file = read_state_file(path)
    # A mere habit of a code base is no reason to refuse a net.
    told = bool(file.config) or bool(choice and choice.known())
    return Weights(
        name=path,
        read=lambda: file.tensors,
        inflation=inflation,
        fresh=tuple(fresh),
        net=convert(file, choice).net if told and inflation is None else None,
        classes=class_names(classes) if isinstance(classes, str) else classes or file.classes,
        protocol=file.protocol,
    )


def published_weights(
    name: str,
    *,
    fresh: Sequence[str] = BLOCKS + HEAD + COUNTERS,
    inflation: Inflation = "mean",
) -> Weights:
    """Published weights by their name in the zoo, downloaded once into the torch hub cache.

    Args:
        name: key of ``gcvideo.weights.ZOO``, such as "slow_8x8_r50_pytorchvideo".
        fresh: patterns as for :func:`checkpoint_weights`.
        inflation: "mean" or "centre", for weights of images.

    Raises:
        WeightsError: for an unknown name.
    """
    record = published_record(name)
    return Weights(
        name=name,
        read=cache(lambda: read_state_file(cached_file(record.url, sha256=record.sha256)).tensors),
        inflation=inflation if record.inflated else None,
        fresh=tuple(fresh),
        net=None if record.inflated else record.net,
        classes=None if record.classes is None else class_names(record.classes),
        protocol=record.protocol,
    )


def find_weights(source: str | Path) -> Weights:
    """Published weights if ``source`` is a name and no file, else the weights in the file."""
    if names_published(source):
        return published_weights(str(source))
    return checkpoint_weights(str(source))


def checkpoint_file(path: str | Path, key: str = "checkpoint") -> Path:
    """The file itself; of the folder of a run, or of its checkpoints, the one of the best epoch.

    Of a repository of the hub, "hf://NAMESPACE/NAME" or a folder with its files, it is that of the
    weights. ``key`` is the word on the command line that takes the path.
    """
    if is_on_hub(path):
        return hub_weights(path)
    given = Path(path)
    if not given.is_dir():
        return given
    if is_repository(given):
        check_repository(given, str(path))
        return given / WEIGHTS_FILE
    folders = (given / "checkpoints", given)
    for folder in folders:
        if (folder / BEST).is_file():
            return folder / BEST
    others = sorted(file for folder in folders for file in folder.glob("[!.]*.ckpt"))
    if not others:
        raise CheckpointError(
            f"the folder '{path}' has no checkpoints; give the folder of a run, or a file"
        )
    # Not taken by itself: weights of the last epoch are no stand-in for those of the best.
    raise CheckpointError(
        f"the folder '{path}' has no {BEST}, only {', '.join(file.name for file in others)}; name one of "
        f"them, such as {shlex.quote(override(key, others[0]))}"
    )
