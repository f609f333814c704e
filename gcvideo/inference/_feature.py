"""Features of a ResNet of this package: pooled before its linear layer, or the outputs of stages."""

from collections.abc import Sequence
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from gcvideo.models import STAGES, Head, Stage, stages_of


def features(net: nn.Module, clips: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c"]:
    """Pooled features of clips: the input of the head's linear layer.

        adaptive:  mean_thw(f)          fcn_logit, fcn_prob:  mean_n P_n

    where f is the feature map of res5 and P_n are its averages over the N windows of the head, see
    :class:`~gcvideo.models.Head`. Except for ``fcn_prob``, the linear layer turns them into the logits.

    Args:
        net: net from ``slow_resnet``, ``i3d_resnet`` or ``c2d_resnet``, in evaluation mode (otherwise its
            batch norms depend on the batch).
        clips: normalised RGB.

    Raises:
        ValueError: if the net is not one of these.
    """
    head = _blocks(net)[-1]
    (maps,) = feature_maps(net, clips).values()
    pooled = head.pool(maps)
    return pooled if pooled.ndim == 2 else pooled.mean(dim=1)


def feature_maps(
    net: nn.Module, clips: Float[Tensor, "b 3 t h w"], stages: Sequence[Stage] = STAGES[-1:]
) -> dict[Stage, Float[Tensor, "b _ _ _ _"]]:
    """Outputs of residual stages, by stage; nothing after the last of them is computed.

    Args:
        net: net as for :func:`features`.
        clips: normalised RGB.
        stages: names from res2 to res5.

    Raises:
        ValueError: if the net is not one of these, or a stage is unknown.
    """
    if unknown := [stage for stage in stages if stage not in STAGES]:
        raise ValueError(f"there is no stage {unknown[0]!r}; choose from {', '.join(STAGES)}")
    blocks, modules = _blocks(net), stages_of(net)
    stage_of: dict[nn.Module, Stage] = {modules[stage]: stage for stage in stages}
    maps: dict[Stage, Tensor] = {}
    for block in blocks:
        if len(maps) == len(stage_of):
            break
        clips = block(clips)
        if block in stage_of:
            maps[stage_of[block]] = clips
    return maps


def _blocks(net: nn.Module) -> Sequence[Any]:
    blocks = cast(Any, getattr(net, "blocks", [None]))
    if not isinstance(blocks[-1], Head):
        raise ValueError(
            f"a {type(net).__name__} has no features by name; build the net with slow_resnet, "
            "i3d_resnet or c2d_resnet"
        )
    return list(blocks)
