"""Small nets with every kind of block, which are quickly traced."""

from functools import partial

from torch import nn

from gcvideo.models import Head
from gcvideo.nn import (
    CrissCrossBlock,
    NonLocalBlock,
    global_context,
    simplified_non_local,
    squeeze_excitation,
)

BLOCKS = {
    "gc": global_context,
    "gc_hw": partial(global_context, axes="hw", fusion=("mul", "add")),
    "gc_t": partial(global_context, axes="t", mul_start="identity", fusion=("mul",)),
    "snl": simplified_non_local,
    "se": partial(squeeze_excitation, ratio=1 / 2),
    "nl": NonLocalBlock,
    "nl_gaussian": partial(NonLocalBlock, kind="gaussian", sub_sample="none"),
    "nl_dot_product": partial(NonLocalBlock, kind="dot_product", sub_sample="after"),
    "nl_concatenation": partial(NonLocalBlock, kind="concatenation"),
    "nl_hw": partial(NonLocalBlock, axes="hw", norm=False),
    "nl_t": partial(NonLocalBlock, axes="t", sub_sample="none", output_bias=False),
    "cc": CrissCrossBlock,
}


def stem_and_head(*blocks):
    """A net of one convolution, named blocks and the head: its export takes seconds."""
    stem = nn.Conv3d(3, 8, (1, 8, 8), stride=(1, 8, 8))
    return nn.Sequential(stem, *(BLOCKS[name](8) for name in blocks), Head(8, 3))
