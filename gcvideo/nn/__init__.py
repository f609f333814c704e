"""Context blocks and their operators."""

from gcvideo.nn._attention_pool import attention_pool as attention_pool
from gcvideo.nn._attention_pool_formula import attention_weights as attention_weights
from gcvideo.nn._context import ContextBlock as ContextBlock
from gcvideo.nn._context import global_context as global_context
from gcvideo.nn._context import simplified_non_local as simplified_non_local
from gcvideo.nn._context import squeeze_excitation as squeeze_excitation
from gcvideo.nn._convolution import VideoConv3d as VideoConv3d
from gcvideo.nn._criss_cross import CrissCrossBlock as CrissCrossBlock
from gcvideo.nn._fusion import ActivationThenBlock as ActivationThenBlock
from gcvideo.nn._fusion import Position as Position
from gcvideo.nn._fusion import ResidualFusion as ResidualFusion
from gcvideo.nn._grid import Axes as Axes
from gcvideo.nn._non_local import NonLocalBlock as NonLocalBlock
