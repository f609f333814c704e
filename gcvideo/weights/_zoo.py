"""Published weights by name, and the lists of their classes."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml

from gcvideo.weights._state_file import WeightsError

_LISTS = ("kinetics400",)


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """A published file of weights: its address, net, accuracy and licence.

    Args:
        name: ``{family}_{T}x{tau}_r{depth}_{source}``, and how it was made if a source has several.
        url: address at which its authors keep it.
        layout: naming and wrapping of the tensors in the file; "caffe2" is a pickle of blobs.
        net: description, for ``gcvideo._construction.construct``, of the net that computes what the
            released one does.
        classes: name of the list of classes; None for ImageNet, whose classifier is not used.
        protocol: description of the ``gcvideo.data.EvaluationProtocol`` of the published accuracy;
            None for ImageNet.
        top1: published accuracy in percent.
        top5: published accuracy in percent.
        views: clips x crops of that accuracy.
        accuracy_source: document of that accuracy, and what other documents say instead.
        sha256: leading hex digits of the file's SHA-256, if its authors give them in its name.
        licence: SPDX identifier of the repository that releases it.
        inflated: whether it is a 2-D net, to be inflated into a net for video.
    """

    name: str
    url: str
    layout: Literal["pytorchvideo", "pyslowfast", "caffe2", "mmaction2", "torchvision"]
    net: Mapping[str, Any]
    classes: str | None
    protocol: Mapping[str, Any] | None
    top1: float
    top5: float
    views: str
    accuracy_source: str
    sha256: str | None
    licence: str
    inflated: bool = False

    @property
    def file(self) -> str:
        """Last part of the URL: the name in the cache."""
        return self.url.rpartition("/")[2]


def _read_zoo() -> Mapping[str, PublishedWeights]:
    zoo = {}
    for source in yaml.safe_load(_text("zoo.yaml"))["sources"]:
        for name, row in source["records"].items():
            digits = re.search(r"-([0-9a-f]{8})\.pth$", row["file"])
            facts = {"sha256": digits and digits[1]} | source["shared"] | row
            file, note = facts.pop("file"), facts.pop("note", None)
            if note:
                facts["accuracy_source"] += f"; {note}"
            top1, top5 = facts.pop("accuracy")
            url = source["folder"] + file
            zoo[name] = PublishedWeights(name=name, url=url, top1=top1, top5=top5, **facts)
    return MappingProxyType(dict(sorted(zoo.items())))


def _text(file: str) -> str:
    return files("gcvideo.weights").joinpath(file).read_text(encoding="utf-8")


ZOO = _read_zoo()


def published_record(name: str) -> PublishedWeights:
    """The published weights of that name; WeightsError names the nearest ones if there are none."""
    if name not in ZOO:
        nearest = difflib.get_close_matches(name, ZOO, n=3, cutoff=0)
        raise WeightsError(
            f"no published weights are called {name!r}; the nearest names are {', '.join(nearest)}; "
            "list(gcvideo.weights.ZOO) has all"
        )
    return ZOO[name]


def names_published(source: str | Path) -> bool:
    """Whether this is a name of published weights, known or not, and not the path of a file."""
    path = Path(source)
    return not path.suffix and len(path.parts) == 1 and not path.exists()


def class_names(classes: str) -> tuple[str, ...]:
    """Class names of a list, "kinetics400", in the order of the labels; ValueError for another name.

    kinetics400_classes.txt: the class names of Kinetics-400 (DeepMind) in alphabetical order; the order
    of tools/data/kinetics/label_map_k400.txt of mmaction2 and of process_data/kinetics/classids.json of
    video-nonlocal-net.
    """
    if classes not in _LISTS:
        raise ValueError(
            f"no list of class names is called {classes!r}; choose one of {', '.join(_LISTS)}"
        )
    return tuple(_text(f"{classes}_classes.txt").splitlines())
