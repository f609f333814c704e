"""3-D convolutions of video nets, computed in the fastest form for the device and type."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gcvideo.nn._function_transform import is_transformed

# With fewer, as in a stem on RGB, weight gradients do not profit from another form.
_MIN_CHANNELS = 16

_Sizes = tuple[int, ...]


class VideoConv3d(nn.Conv3d):
    """``nn.Conv3d`` with the same parameters and numbers, in a faster form.

    Three things differ, the first two meant for input in ``channels_last_3d``:

    * On a CPU in float32, unless ``folded``, kernels 1 x 1 x 1 run as a matrix product over the
      channels and kernels k x 1 x 1 as a 2-D convolution over (n, c, t, h w), because with one thread and
      few clips PyTorch takes a slow path for them. Gradients of weights, for which oneDNN takes up to
      seven times as long as for its forward pass, take another form: a matrix product per tap for
      kernels of one pixel, and a convolution in the contiguous format for others.
    * With ``folded``, kernels k x 1 x 1 run as 2-D convolutions over (n, c, t, h w) and kernels
      1 x k x k over (n t, c, h, w) on every device and in every type. These are views of the same
      memory, and only a 5 x 7 x 7 stem is still a 3-D convolution.
    * On a CPU in bfloat16, a clip that is shorter, lower or narrower than the kernel is padded by zeros
      before the convolution. With the padding inside it, oneDNN (in torch 2.7 to 2.15, on AVX-512 without
      AMX) leaves parts of the weight gradient unwritten: they hold earlier memory, even NaN. Where the
      result is one column wide, the stride over columns is left out, since with it oneDNN (torch 2.14, on
      AMX) leaves parts of the result unwritten.

    Attributes:
        folded: whether kernels of one frame or one pixel run as 2-D convolutions.
    """

    folded: bool = False

    def forward(self, input: Float[Tensor, "n c t h w"]) -> Float[Tensor, "n d u y x"]:
        padding = self.padding
        if self.padding_mode != "zeros" or isinstance(padding, str):
            return super().forward(input)
        if self.groups == 1 and self.dilation == (1, 1, 1):
            if self.folded and self._has_one_pixel():
                return self._over_pixels(input, self._own_weight(), _convolve)
            if self.folded and self.kernel_size[0] == 1 and padding[0] == 0:
                return self._over_frames(input, self._own_weight(), padding[1:])
            if not self.folded and self._is_on_cpu(input):
                return self._on_cpu(input, self._own_weight())
        settings = self.stride, padding, self.dilation, self.groups
        return _convolve(input, self._own_weight(), self.bias, *settings)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, folded={self.folded}"

    def _has_one_pixel(self) -> bool:
        sizes = self.kernel_size[1:], self.stride[1:], self.padding[1:]
        return sizes == ((1, 1), (1, 1), (0, 0))

    def _is_on_cpu(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and x.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and x.is_contiguous(memory_format=torch.channels_last_3d)
            and self.in_channels >= _MIN_CHANNELS
            and not is_transformed()
        )

    def _own_weight(self) -> Tensor:
        is_trained = torch.is_grad_enabled() and not is_transformed()
        return _KeptStrides.apply(self.weight) if is_trained else self.weight

    def _on_cpu(self, x: Float[Tensor, "n c t h w"], weight: Tensor) -> Float[Tensor, "n d u y x"]:
        if not self._has_one_pixel():
            return _Convolution.apply(x, weight, self.bias, self.stride, self.padding)
        if self.kernel_size[0] == self.stride[0] == 1 and self.padding[0] == 0:
            return F.linear(x.movedim(1, -1), weight.flatten(1), self.bias).movedim(-1, 1)
        return self._over_pixels(x, weight, _Convolution.apply)

    def _over_pixels(
        self, x: Float[Tensor, "n c t h w"], weight: Tensor, convolve: Callable[..., Any]
    ) -> Float[Tensor, "n d u h w"]:
        stride, padding = (self.stride[0], 1), (self.padding[0], 0)
        y = convolve(x.flatten(3), weight.squeeze(4), self.bias, stride, padding)
        return y.unflatten(3, x.shape[3:])

    def _over_frames(
        self, x: Float[Tensor, "n c t h w"], weight: Tensor, padding: _Sizes
    ) -> Float[Tensor, "n d u y x"]:
        x = x[:, :, :: self.stride[0]]
        frames = x.transpose(1, 2).flatten(0, 1)
        y = _convolve(frames, weight.squeeze(2), self.bias, self.stride[1:], padding)
        return y.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)


def use_video_convolutions(net: nn.Module, *, folded: bool = False) -> None:
    """Turn the 3-D convolutions of a net into `VideoConv3d`, in place; parameters and keys stay.

    Subclasses of ``nn.Conv3d`` other than `VideoConv3d` are left as they are.
    """
    for module in net.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = VideoConv3d
            # pytorchvideo leaves NumPy numbers in some.
            for name in ("kernel_size", "stride", "dilation"):
                setattr(module, name, tuple(int(size) for size in getattr(module, name)))
            if not isinstance(module.padding, str):
                module.padding = tuple(int(size) for size in module.padding)
        if isinstance(module, VideoConv3d):
            module.folded = folded


def _convolve(
    x: Float[Tensor, "n c *grid"],
    weight: Tensor,
    bias: Tensor | None,
    stride: _Sizes,
    padding: _Sizes,
    dilation: _Sizes | int = 1,
    groups: int = 1,
) -> Tensor:
    if _computes_in_bfloat16(x):
        x, stride, padding = written_whole(x, weight.shape[2:], stride, padding, dilation)
    convolve = F.conv3d if x.ndim == 5 else F.conv2d
    return convolve(x, weight, bias, stride, padding, dilation, groups)


def written_whole(
    x: Float[Tensor, "n c *grid"],
    kernel: _Sizes,
    stride: _Sizes,
    padding: _Sizes,
    dilation: _Sizes | int,
) -> tuple[Tensor, _Sizes, _Sizes]:
    """Input, stride and padding of a convolution in bfloat16 with which oneDNN writes all of its results.

    They are the given ones but for the two cases that `VideoConv3d` names.
    """
    reaches = _reaches(kernel, dilation)
    width, is_strided = x.shape[-1] + 2 * padding[-1], stride[-1] > 1 and kernel[-1] > 1
    has_one_column = is_strided and reaches[-1] <= width < reaches[-1] + stride[-1]
    if has_one_column or any(size < n for size, n in zip(x.shape[2:], reaches, strict=True)):
        x = F.pad(x, [zeros for size in reversed(padding) for zeros in (size, size)])
        padding = (0,) * len(padding)
    if has_one_column:
        x, stride = x[..., : reaches[-1]], (*stride[:-1], 1)
    return x, stride, padding


def _computes_in_bfloat16(x: Tensor) -> bool:
    if x.device.type != "cpu":
        return False
    is_autocast = torch.is_autocast_enabled("cpu")
    return (torch.get_autocast_dtype("cpu") if is_autocast else x.dtype) == torch.bfloat16


def _reaches(kernel: _Sizes, dilation: _Sizes | int) -> list[int]:
    """Positions from the first to the last that a kernel meets, of each axis."""
    dilations = (dilation,) * len(kernel) if isinstance(dilation, int) else dilation
    return [gap * (size - 1) + 1 for gap, size in zip(dilations, kernel, strict=True)]


class _KeptStrides(torch.autograd.Function):
    """A weight whose gradient has its strides, also those of axes of size one, which DDP compares."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.strides = weight.stride()
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (grad,) = gradients
        sizes_and_strides = zip(grad.shape, grad.stride(), ctx.strides, strict=True)
        is_same_memory = all(size == 1 or now == then for size, now, then in sizes_and_strides)
        return grad.as_strided(grad.shape, ctx.strides) if is_same_memory else grad


class _Convolution(torch.autograd.Function):
    """A 2-D or 3-D convolution whose weight gradient takes a faster form."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, stride: _Sizes, padding: _Sizes
    ) -> Tensor:
        return torch.convolution(x, weight, bias, *_arguments(stride, padding))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        grad_x = grad_weight = grad_bias = None
        if wants_x:
            grad_x = _gradients(grad_output, x, weight, stride, padding, (True, False, False))[0]
        if wants_weight:
            grad_weight = _weight_gradient(grad_output, x, weight, stride, padding)
        if wants_bias:
            grad_bias = grad_output.transpose(0, 1).flatten(1).sum(1)
        return grad_x, grad_weight, grad_bias, None, None


def _weight_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, stride: _Sizes, padding: _Sizes
) -> Tensor:
    has_one_pixel = weight.shape[3:].numel() == 1 and not any(padding[1:])
    if has_one_pixel and stride[0] == 1:
        return _tap_products(grad, x, weight.shape[2], stride, padding[0]).view(weight.shape)
    contiguous = grad.contiguous(), x.contiguous(), weight.contiguous()
    return _gradients(*contiguous, stride, padding, (False, True, False))[1]


def _tap_products(
    grad: Float[Tensor, "n d u *grid"],
    x: Float[Tensor, "n c t *grid_in"],
    num_taps: int,
    stride: _Sizes,
    padding: int,
) -> Float[Tensor, "d c taps"]:
    """dW_k = sum_t G_t^T X_{t + k - padding}, over the frames t at which both exist."""
    x = x[(..., *(slice(None, None, step) for step in stride[1:]))]
    rows_out, rows_in = (y.flatten(3).permute(0, 2, 3, 1) for y in (grad, x))  # (n, t, p, c)
    products = []
    for tap in range(num_taps):
        shift = tap - padding
        first, last = max(0, -shift), min(rows_out.shape[1], rows_in.shape[1] - shift)
        if first >= last:
            products.append(grad.new_zeros(grad.shape[1], x.shape[1]))
            continue
        g = rows_out[:, first:last].flatten(1, 2)
        products.append((g.mT @ rows_in[:, first + shift : last + shift].flatten(1, 2)).sum(0))
    return torch.stack(products, 2)


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, stride: _Sizes, padding: _Sizes, mask: Any
) -> tuple[Any, Any, Any]:
    arguments = _arguments(stride, padding)
    return torch.ops.aten.convolution_backward(grad, x, weight, None, *arguments, mask)


def _arguments(stride: _Sizes, padding: _Sizes) -> tuple[Any, ...]:
    """Stride, padding, dilation, transposed, output padding and groups."""
    return stride, padding, (1,) * len(stride), False, (0,) * len(stride), 1
