from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Layout = Literal["pytorchvideo", "pyslowfast", "caffe2", "mmaction2", "torchvision"]


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """A published file of weights: where it is, what net it fills, how it was scored, under which licence.

    Args:
        name: ``{family}_{T}x{tau}_r{depth}_{source}``, and how it was made where a source has several.
        url: where its authors keep it.
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
        sha256: leading hex digits of the file's SHA-256, where its authors give them in its name.
        num_bytes: size of the file, where its authors give it.
        licence: SPDX identifier of the repository that releases it.
        inflated: whether it is a 2-D net, to be inflated into a net for video.
    """

    name: str
    url: str
    layout: Layout
    net: Mapping[str, Any]
    classes: str | None
    protocol: Mapping[str, Any] | None
    top1: float | None
    top5: float | None
    views: str
    accuracy_source: str
    sha256: str | None = None
    num_bytes: int | None = None
    licence: str
    inflated: bool = False

    @property
    def file(self) -> str:
        """Last part of the URL: the name in the cache."""
        return self.url.rpartition("/")[2]
