"""Single context blocks of other code bases."""

from typing import cast

from gcvideo._construction import construct
from gcvideo.nn import ContextBlock
from gcvideo.weights._layout import StateDict, context_block_to_common
from gcvideo.weights._net_description import describe_context_block

_TIMM_EPS = 1e-6


def convert_context_block(source: StateDict) -> ContextBlock:
    """The block of GCNet, mmcv or timm that some weights belong to, filled.

    Settings follow from names and shapes, also the eps of the LayerNorm, which the tensors do not
    hold: timm's ``LayerNorm2d`` has 1e-6, the ``nn.LayerNorm`` of GCNet and mmcv 1e-5. timm's block
    has the layout of the paper's but sits elsewhere in its nets, on the channels inside a bottleneck.

    Args:
        source: state dict of the block alone, such as ``conv_mask.weight``.

    Raises:
        WeightsError: for a key that is none of such a block, and for a block without its transform.
    """
    tensors = context_block_to_common(source)
    description = describe_context_block(tensors, "")
    if any(key.startswith("mlp_") for key in source):
        description["eps"] = _TIMM_EPS
    (channels,) = {v.shape[0] for k, v in tensors.items() if k.endswith("expand.weight")}
    block = cast(ContextBlock, construct(description)(channels))
    block.load_state_dict(tensors)
    return block
