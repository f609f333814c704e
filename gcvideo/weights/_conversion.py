from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from gcvideo._construction import construct
from gcvideo.weights._architecture import Architecture, architecture_of
from gcvideo.weights._inflation import Inflation, inflate
from gcvideo.weights._layout import (
    LAYOUTS,
    StateDict,
    detect_layout,
    from_common,
    is_ignored,
    to_common,
)
from gcvideo.weights._net_choice import NetChoice, configured_choice, conventions
from gcvideo.weights._net_description import describe_net
from gcvideo.weights._state_file import StateFile, read_state_file
from gcvideo.weights._weights import COUNTERS, HEAD, LoadReport, Weights, load_weights


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Weights of another code base with the description of the net that gives them their function.

    Args:
        name: of the weights, for reports.
        layout: code base whose names they have.
        architecture: that the tensors show.
        choice: what they do not show.
        assumed: those names of ``choice`` that follow from the habit of the code base alone.
        net: description for :func:`gcvideo._construction.construct`.
        source: the tensors under their own names.
        notes: of the reading of a file.
        inflation: of image kernels.
    """

    name: str
    layout: str
    architecture: Architecture
    choice: NetChoice
    assumed: tuple[str, ...]
    net: Mapping[str, Any]
    source: StateDict
    notes: tuple[str, ...]
    inflation: Inflation

    def build(self) -> tuple[nn.Module, LoadReport]:
        """The net, filled; only image weights leave its head fresh."""
        net = cast(nn.Module, construct(self.net))
        return net, load_weights(net, self._weights())

    def _weights(self) -> Weights:
        is_image = self.layout in IMAGE_LAYOUTS
        return Weights(
            name=self.name,
            read=lambda: self.source,
            convert=lambda source, target: convert_state_dict(
                source, target, inflation=self.inflation if is_image else None
            ),
            fresh=HEAD + COUNTERS if is_image else COUNTERS,
            ignored=IGNORED,
        )


IMAGE_LAYOUTS = ("torchvision", "mmdetection")
_IMAGE_HEADS = ("fc.*", "head.projection.*")
IGNORED = _IMAGE_HEADS + tuple(pattern for layout in LAYOUTS.values() for pattern in layout.ignored)


def convert(
    source: str | Path | StateDict | StateFile,
    choice: NetChoice | None = None,
    *,
    inflation: Inflation = "mean",
) -> Conversion:
    """Find out which net some weights need, by rule: from names, shapes and stored configuration.

    Args:
        source: file of weights, one that was read, or a state dict, in the naming of PyTorchVideo,
            PySlowFast, Caffe2 (video-nonlocal-net), mmaction2, torchvision or mmdetection with GCNet's
            plugin.
        choice: what tensors do not show; it goes before what a file's configuration says, and that
            before the habits of the code base.
        inflation: "mean" or "centre", of image weights.

    Raises:
        WeightsError: if the file cannot be read, the names are those of no known code base, the
            tensors are those of no net of this package, or the pairwise function of non-local blocks
            has to be told.

    Example:
        >>> from gcvideo.models import slow_resnet
        >>> weights = slow_resnet(num_classes=7, width=4).state_dict()
        >>> str(convert(weights).architecture)
        'Slow R50 of width 4'
    """
    given = choice or NetChoice()
    if isinstance(source, StateFile):
        name, file = "weights", source
    elif isinstance(source, Mapping):
        name, file = "weights", StateFile(dict(source), None, ())
    else:
        name, file = Path(source).name, read_state_file(source)
    layout = detect_layout(file.tensors)
    common = to_common(file.tensors, layout)
    tensors = {k: v for k, v in common.items() if not is_ignored(k, layout)}
    architecture = architecture_of(tensors)
    told = given.over(configured_choice(file.config or "", layout.name))
    habit = conventions(layout.name, architecture, file.tensors, told)
    full = told.over(habit)
    return Conversion(
        name=name,
        layout=layout.name,
        architecture=architecture,
        choice=full,
        assumed=tuple(
            name
            for name in sorted(habit.known().keys() - told.known().keys())
            if architecture.blocks or not name.startswith("non_local")
        ),
        net=describe_net(tensors, architecture, full),
        source=file.tensors,
        notes=file.notes,
        inflation=inflation,
    )


def convert_state_dict(
    source: StateDict, target: StateDict, *, inflation: Inflation | None = None
) -> dict[str, Tensor]:
    """Tensors of another code base under our names and in our shapes.

    Args:
        source: in the naming of any known code base.
        target: state dict of the net to be filled; its names tell where stages and blocks sit.
        inflation: of the kernels of an image net, which get the length that they have in ``target``;
            its classifier keeps its name, for it knows no actions. None: ``source`` is of a net for
            videos.

    Raises:
        WeightsError: for a key that is no parameter of a bottleneck ResNet.
    """
    layout = detect_layout(source)
    if inflation is None:
        return from_common(to_common(source, layout), target)
    head = {k: v for k, v in source.items() if any(fnmatchcase(k, p) for p in _IMAGE_HEADS)}
    trunk = {k: v for k, v in source.items() if k not in head}
    return head | inflate(from_common(to_common(trunk, layout), target), target, inflation)
