"""What determines the function of a net but does not show in its tensors."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import yaml

from gcvideo._family import HeadMode
from gcvideo.weights._architecture import Architecture
from gcvideo.weights._state_file import StateDict, WeightsError


@dataclass(frozen=True, kw_only=True)
class NetChoice:
    """Properties of a net that its weights do not show; None: unknown.

    Args:
        family: net that image weights are inflated to.
        head: pooling mode of :class:`~gcvideo.models.Head`.
        temporal_stride: stride over time of the first convolution and of the pool behind it, each.
        stem_pool_padding: padding of the pool behind the first convolution.
        temporal_pool: whether there is a 2x1x1 pool after res2.
        non_local_kind: pairwise function of the non-local blocks: "embedded_gaussian" (PySlowFast's
            "softmax") or "dot_product". The other two show in the tensors.
        non_local_scale: whether scores are divided by the square root of the query width.
        non_local_pool: place where non-local blocks pool their keys: "before" or "after" the convolutions,
            or "none".
    """

    family: Literal["slow", "i3d", "c2d"] | None = None
    head: HeadMode | None = None
    temporal_stride: Literal[1, 2] | None = None
    stem_pool_padding: Literal[0, 1] | None = None
    temporal_pool: bool | None = None
    non_local_kind: Literal["embedded_gaussian", "dot_product"] | None = None
    non_local_scale: bool | None = None
    non_local_pool: Literal["before", "after", "none"] | None = None

    def over(self, other: "NetChoice") -> "NetChoice":
        """This choice, completed by another one."""
        return replace(other, **self.known())

    def known(self) -> dict[str, Any]:
        """What is not None, by name."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}


def conventions(
    layout: str, architecture: Architecture, source: StateDict, told: NetChoice
) -> NetChoice:
    """What the code base of a layout does by default.

    Sources: PySlowFast's ``video_model_builder`` and ``nonlocal_helper``, video-nonlocal-net,
    PyTorchVideo's hub, mmaction2's configs and mmcv's ``NonLocalNd``. mmaction2's I3D nets do not
    scale, its SlowOnly nets do; its C2D pads the stem's pool only in the net without a temporal pool.
    PySlowFast, which also reads Caffe2 files with the names of video-nonlocal-net, pads when it does so.
    """
    # Some I3D nets have fewer or more temporal kernels, but always those of the stem.
    is_i3d, is_c2d = architecture.stem_kernel > 1, architecture.family == "c2d"
    if layout == "pytorchvideo":
        positions_show_pool = "blocks.6.proj.weight" in source
        return NetChoice(head="fcn_logit", temporal_pool=positions_show_pool)
    if layout in ("pyslowfast", "caffe2"):
        return NetChoice(
            head="fcn_prob",
            temporal_pool=is_i3d or is_c2d,
            stem_pool_padding=0 if layout == "caffe2" else 1,
            non_local_scale=True,
            non_local_pool="before",
        )
    if layout == "mmaction2":
        sub_sampled = any(".non_local_block.g.0." in key for key in source)
        # Its C2D is a net for images; without temporal kernels its SlowOnly has the same shapes.
        is_c2d = source["backbone.conv1.conv.weight"].ndim == 4
        return NetChoice(
            temporal_stride=2 if architecture.family == "i3d" else 1,
            stem_pool_padding=0 if is_c2d and told.temporal_pool is not False else 1,
            temporal_pool=is_i3d or is_c2d,
            non_local_scale=not is_i3d,
            non_local_pool="after" if sub_sampled else "none",
        )
    return NetChoice(family="c2d", temporal_pool=False)


def configured_choice(config: str, layout: str) -> NetChoice:
    """What the configuration stored in a checkpoint says; empty if it cannot be read."""
    if layout == "pyslowfast":
        return _pyslowfast(config)
    if layout == "mmaction2":
        return _mmaction2(config)
    return NetChoice()


def _pyslowfast(config: str) -> NetChoice:
    try:
        content = yaml.safe_load(config)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, Mapping):
        return NetChoice()
    non_local, model = content.get("NONLOCAL", {}), content.get("MODEL", {})
    kinds = {"softmax": "embedded_gaussian", "dot_product": "dot_product"}
    pools = str(non_local.get("POOL", "2, 2"))
    is_unpooled = model.get("ARCH") in ("2d", "slow_c2d", "slow_i3d")
    no_pool = is_unpooled or "nopool" in str(model.get("MODEL_NAME"))
    resnet, ones = content.get("RESNET", {}), [[1]] * 4
    _check_settings(
        {
            "RESNET.STRIDE_1X1": (resnet.get("STRIDE_1X1", False), False),
            "RESNET.SPATIAL_DILATIONS": (resnet.get("SPATIAL_DILATIONS", ones), ones),
            "NONLOCAL.GROUP": (non_local.get("GROUP", ones), ones),
            "MODEL.HEAD_ACT": (model.get("HEAD_ACT", "softmax"), "softmax"),
        }
    )
    return NetChoice(
        non_local_kind=kinds.get(non_local.get("INSTANTIATION")),  # pyright: ignore[reportArgumentType]
        non_local_pool="before" if "2, 2" in pools else "none",
        temporal_pool=False if no_pool else None,
    )


def _mmaction2(config: str) -> NetChoice:
    try:
        tree = ast.parse(config)
    except SyntaxError:
        return NetChoice()
    settings: dict[str, list[Any]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            settings.setdefault(str(node.arg), []).append(node.value.value)
    values = {name: found[0] for name, found in settings.items()}
    # Other objects in a configuration also have modes.
    kinds: list[Any] = [
        m for m in settings.get("mode", ()) if m in ("embedded_gaussian", "dot_product")
    ]
    is_image_net = "ResNet" in settings.get("type", ())  # its C2D without a temporal pool
    stride = values.get("conv1_stride_t", 1 if "pool1_stride_t" in values else None)
    _check_settings(
        {
            "style": (values.get("style", "pytorch"), "pytorch"),
            "pool1_stride_t": (values.get("pool1_stride_t", stride), stride),
        }
    )
    return NetChoice(
        non_local_kind=kinds[0] if kinds else None,
        non_local_scale=values.get("use_scale"),
        temporal_stride=stride,
        stem_pool_padding=1 if is_image_net else None,
        temporal_pool=False if is_image_net else values.get("with_pool2"),
    )


def _check_settings(settings: Mapping[str, tuple[Any, Any]]) -> None:
    """Refuse settings, by name with value and ours, that no tensor shows and our nets do not have."""
    for name, (value, ours) in settings.items():
        if value != ours:
            raise WeightsError(
                f"the weights come with a configuration in which {name} is {value!r}; this package "
                f"only builds nets with {ours!r}: choose weights of such a net"
            )
