"""Convolutions that compute what follows them in the same pass, for inference."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gcvideo.models import ClipClassifier
from gcvideo.nn import VideoConv3d
from gcvideo.nn._bfloat16 import has_bfloat16_products
from gcvideo.nn._convolution import use_video_convolutions, written_whole

_Input = Float[Tensor, "n c t h w"]
_Result = Float[Tensor, "n d u y x"]
_Vectors = Float[Tensor, "n d ..."]  # with axes of size one in place of those of the result
_Operator = Any


class FusedConv3d(VideoConv3d):
    """A convolution with the operations that a residual block puts behind it.

        y = ReLU(gate * conv(x) + update + shortcut)

    Each of them may be absent. They overwrite the result of the convolution, because allocating memory
    costs more than any of them.

    Attributes:
        relu: whether there is a ReLU at the end.
    """

    relu: bool = False

    @classmethod
    def of(cls, conv: nn.Conv3d, *, relu: bool) -> "FusedConv3d":
        """A convolution of the same weights, which it takes over."""
        use_video_convolutions(conv, folded=getattr(conv, "folded", False))
        fused = cast(FusedConv3d, conv)
        fused.__class__ = cls
        fused.relu = relu
        return fused

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input: _Input,
        shortcut: _Result | None = None,
        update: _Vectors | None = None,
        gate: _Vectors | None = None,
    ) -> _Result:
        return _finished(super().forward(input), shortcut, update, gate, self.relu)


class PackedConv3d(nn.Module):
    """`FusedConv3d` by oneDNN alone, with its weights in the order of its loops.

    The sum and the ReLU are part of the convolution, and so is an update that is the same at all
    positions, as its bias. The order of the weights is that for the height and width of the last input;
    others have them packed again, since a convolution that finds its weights in the order for another size
    can take several times as long.

    The operators are those that PyTorch's compiler calls, and are present in its builds with oneDNN.

    Args:
        conv: fused convolution without groups.
        dtype: float32 or bfloat16, in which it computes.
        overwrites: whether the result may take the place of the shortcut.
    """

    def __init__(self, conv: FusedConv3d, dtype: torch.dtype, *, overwrites: bool) -> None:
        super().__init__()
        self.dtype, self.overwrites = dtype, overwrites
        self.relu = conv.relu
        self.kernel_size = cast(tuple[int, ...], conv.kernel_size)
        padding = cast(tuple[int, ...], conv.padding)
        self.settings = padding, conv.stride, conv.dilation, conv.groups
        bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
        self.bias = bias.detach().to(dtype)
        self._packed = ((0, 0), conv.weight.detach().to(dtype).to_mkldnn())

    def forward(
        self,
        x: _Input,
        shortcut: _Result | None = None,
        update: _Vectors | None = None,
        gate: _Vectors | None = None,
    ) -> _Result:
        if torch.is_grad_enabled() and x.requires_grad:
            raise ValueError(
                "the net was made for inference, and has no gradients; take the net that it was made of"
            )
        x = self._laid_out(x)
        shortcut = None if shortcut is None else self._laid_out(shortcut)
        is_bias = update is not None and shortcut is not None and update.shape[2:].numel() == 1
        if (
            not self._is_written_whole(x)
            or gate is not None
            or (update is not None and not is_bias)
        ):
            return _finished(self._convolved(x), shortcut, update, gate, self.relu)
        weight = self._weight_for(x)
        if update is None or shortcut is None:
            return self._fused(x, weight, self.bias, shortcut)
        biases = self.bias + update.flatten(1).to(self.dtype)
        parts = [
            self._fused(x[i : i + 1], weight, bias, shortcut[i : i + 1])
            for i, bias in enumerate(biases)
        ]
        if self.overwrites:
            return shortcut
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    # Copies: packed weights are opaque to Python.
    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": self._packed[1].to_dense()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_packed": ((0, 0), state["_packed"].to_mkldnn())})

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, relu={self.relu}, dtype={self.dtype}"

    def _fused(self, x: _Input, weight: Tensor, bias: Tensor, shortcut: _Result | None) -> _Result:
        unary = "relu" if self.relu else None
        if shortcut is None:
            return _pointwise()(x, weight, bias, *self.settings, unary or "none", [], "")
        summed = "add", 1.0, unary, [], ""
        if self.overwrites:
            in_place: _Operator = torch.ops.mkldnn._convolution_pointwise_.binary
            return in_place(shortcut, x, weight, bias, *self.settings, *summed)
        return _pointwise().binary(x, shortcut, weight, bias, *self.settings, *summed)

    def _laid_out(self, x: Float[Tensor, "n e *grid"]) -> Float[Tensor, "n e *grid"]:
        # What blocks of another make give may have another type or layout.
        return x.to(self.dtype).contiguous(memory_format=torch.channels_last_3d)

    def _weight_for(self, x: _Input) -> Tensor:
        size, weight = self._packed
        if size != tuple(x.shape[3:]):
            reorder: _Operator = torch.ops.aten.mkldnn_reorder_conv3d_weight
            dense = weight.to_dense().to_mkldnn()
            weight = reorder(dense, *self.settings, [*x.shape])
            self._packed = (tuple(x.shape[3:]), weight)
        return weight

    def _is_written_whole(self, x: _Input) -> bool:
        padding, stride, dilation, _ = self.settings
        return (
            self.dtype != torch.bfloat16
            or written_whole(x, self.kernel_size, stride, padding, dilation)[0] is x
        )

    def _convolved(self, x: _Input) -> _Result:
        """Without what follows."""
        padding, stride, dilation, groups = self.settings
        weight = self._packed[1]
        if self._is_written_whole(x):
            weight = self._weight_for(x)
            return _pointwise()(x, weight, self.bias, *self.settings, "none", [], "")
        x, stride, padding = written_whole(x, self.kernel_size, stride, padding, dilation)
        arguments = stride, padding, dilation, groups
        return torch.nn.functional.conv3d(x, weight.to_dense(), self.bias, *arguments)


def packable_type(model: ClipClassifier, dtype: torch.dtype) -> torch.dtype | None:
    """``dtype`` if convolutions of a model can be packed and then compute in it, or None."""
    operators: Sequence[_Operator] = (torch.ops.mkldnn, torch.ops.aten)
    names = ("_convolution_pointwise_", "mkldnn_reorder_conv3d_weight")
    is_there = all(hasattr(op, name) for op, name in zip(operators, names, strict=True))
    if (
        model.device.type != "cpu"
        or model.memory_format != torch.channels_last_3d
        or not torch.backends.mkldnn.is_available()
        or not is_there
        or any(parameter.dtype != torch.float32 for parameter in model.parameters())
    ):
        return None
    if dtype == torch.bfloat16 and has_bfloat16_products():
        return dtype
    return dtype if dtype == torch.float32 else None


def _pointwise() -> _Operator:
    return torch.ops.mkldnn._convolution_pointwise


def _finished(
    y: _Result,
    shortcut: _Result | None,
    update: _Vectors | None,
    gate: _Vectors | None,
    relu: bool,
) -> _Result:
    if gate is not None:
        y.mul_(gate.to(y.dtype))
    for term in (update, shortcut):
        if term is not None:
            y.add_(term.to(y.dtype))
    return y.relu_() if relu else y
