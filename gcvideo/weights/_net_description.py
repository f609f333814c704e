"""Descriptions, as checkpoints hold them, of the nets that weights of other code bases need."""

from typing import Any

from gcvideo.weights._architecture import Architecture
from gcvideo.weights._net_choice import NetChoice
from gcvideo.weights._state_file import StateDict, WeightsError


def describe_net(
    common: StateDict, architecture: Architecture, choice: NetChoice
) -> dict[str, Any]:
    """Description, for ``construct``, of the net of tensors that are under their common names."""
    family = choice.family or architecture.family
    if family == "slow" and (choice.temporal_stride == 2 or choice.temporal_pool):
        family = None  # slow_resnet never thins out time
    net: dict[str, Any] = {
        "_target_": f"gcvideo.models.{family or 'video'}_resnet",
        "num_classes": architecture.num_classes or 400,
        "depth": architecture.depth,
        "width": architecture.width,
        "head": choice.head or "adaptive",
        "stem_pool_padding": 1 if choice.stem_pool_padding is None else choice.stem_pool_padding,
    }
    if family is None:
        net["stem_kernel"] = architecture.stem_kernel
        net["temporal_kernels"] = [list(kernels) for kernels in architecture.temporal_kernels]
    if family != "slow":
        net["temporal_stride"] = choice.temporal_stride or 1
        net["temporal_pool"] = bool(choice.temporal_pool)
    if architecture.blocks:
        net["placement"] = _placement(common, architecture, choice)
    return net


def _placement(common: StateDict, architecture: Architecture, choice: NetChoice) -> dict[str, Any]:
    kinds = set(architecture.blocks.values())
    blocks = [
        _non_local(common, f"{stage}.{index}.block.", choice)
        if kind == "non-local"
        else describe_context_block(common, f"{stage}.{index}.block.")
        for (stage, index), kind in architecture.blocks.items()
    ]
    if kinds - {"non-local", "context"} or any(block != blocks[0] for block in blocks):
        raise WeightsError(
            f"the weights are those of a {architecture}, which are not non-local or context blocks all "
            "of one kind; load them through the gcvideo checkpoint that they come from"
        )
    return {
        "_target_": "gcvideo.models.Placement",
        "block": blocks[0],
        **architecture.placement,
        "position": "after_relu" if kinds == {"non-local"} else "after_conv3",
    }


def _non_local(common: StateDict, prefix: str, choice: NetChoice) -> dict[str, Any]:
    inner, channels = common[f"{prefix}g.weight"].shape
    if inner != channels // 2:
        raise WeightsError(
            f"the non-local block {prefix.removesuffix('.block.')} has {inner} inner channels of "
            f"{channels}; this package converts blocks with half of the channels"
        )
    if f"{prefix}theta.weight" not in common:
        kind = "gaussian"
    elif f"{prefix}concat.weight" in common:
        kind = "concatenation"
    elif choice.non_local_kind is None:
        raise WeightsError(
            "the weights do not tell the pairwise function of their non-local blocks; give "
            "non_local_kind: 'embedded_gaussian' (PySlowFast's 'softmax') or 'dot_product'"
        )
    else:
        kind = choice.non_local_kind
    block = {
        "_target_": "gcvideo.nn.NonLocalBlock",
        "_partial_": True,
        "kind": kind,
        "sub_sample": choice.non_local_pool or "none",
        "norm": f"{prefix}norm.weight" in common,
        "output_bias": f"{prefix}out.bias" in common,
    }
    if kind == "embedded_gaussian":
        block["scale"] = choice.non_local_scale is not False
    return block


def describe_context_block(common: StateDict, prefix: str) -> dict[str, Any]:
    """Description of a context block of GCNet's code from its tensors."""
    fusion = [
        kind for kind in ("mul", "add") if f"{prefix}{kind}_transform.expand.weight" in common
    ]
    first = f"{prefix}{fusion[0]}_transform." if fusion else prefix
    expand, reduce = common.get(f"{first}expand.weight"), common.get(f"{first}reduce.weight")
    if expand is None:
        raise WeightsError(
            f"the context block {prefix.removesuffix('.block.')} lacks its transform; the weights are "
            "incomplete"
        )
    return {
        "_target_": "gcvideo.nn.ContextBlock",
        "_partial_": True,
        "pooling": "att" if f"{prefix}mask.weight" in common else "avg",
        "ratio": None if reduce is None else reduce.shape[0] / reduce.shape[1],
        "norm": f"{first}norm.weight" in common,
        "fusion": fusion,
        "eps": 1e-5,
    }
