"""Context blocks against the forms in which others compute them."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from alternation import require_close
from jaxtyping import Float
from omegaconf import DictConfig
from published_block import PublishedContextBlock, PublishedNonLocalBlock
from speed_model import draw_parameters
from speed_reference import mmcv_context_block, timm_global_context, timm_squeeze_excitation
from speed_setting import BenchmarkSetting, Step, compare
from speed_table import Rate, SpeedTable
from torch import Tensor, nn

from gcvideo.comparison._step_cost import peak_bytes
from gcvideo.models import count_macs
from gcvideo.nn import ContextBlock, NonLocalBlock, global_context, squeeze_excitation

# Passes over the feature map that reads nothing twice which it can keep, and writes nothing else.
POOLING_PASSES = 1
FORWARD_PASSES = 3
BACKWARD_PASSES = 4
LEGEND = (
    "Differences are from the same computation in float64: |result - float64| / |float64 - its mean|. Its "
    "inputs are those of the type that is timed. All forms agree there.",
    "ours achieves: for pooling, x read once; for a forward pass of GC or SE, x read twice and the "
    "result written; forward + backward adds the gradient read, x and the gradient read, and that of x "
    "written: the bytes of these 1, 3 or 7 passes against a copy. For non-local blocks the products "
    "of the forward pass, and twice as many for the backward pass, against one product of large "
    "matrices. More than 100 % is cache.",
)
_PUBLISHED = "published"
_LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last_3d}
# Of the result in the type that is timed, and of forms in float64: the same function of the same numbers.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.02}
_SAME_FUNCTION = 1e-6
_Make = Callable[[Any, Tensor, BenchmarkSetting], Step]


def benchmark_blocks(cfg: DictConfig, setting: BenchmarkSetting, table: SpeedTable) -> None:
    """Lines for attention pooling, global context, squeeze-and-excitation and non-local blocks.

    Raises:
        ValueError: for a shape that is not (batch, channels, frames, height, width).
        UnequalError: if a reference gives another result.
    """
    for key, shapes in (("shapes", cfg.shapes), ("non_local_shape", [cfg.non_local_shape])):
        for shape in shapes:
            if len(shape) != 5 or min(shape) < 1:
                raise ValueError(
                    f"{key} has {list(shape)}; give (batch, channels, frames, height, width), all at "
                    "least 1, such as [4,512,8,28,28]"
                )
    for shape in cfg.shapes:
        for layout in _LAYOUTS:
            _compare_global_context(tuple(shape), layout, setting, table)
        _compare_squeeze_excitation(tuple(shape), setting, table)
    for kind in ("embedded_gaussian", "dot_product"):
        for layout in _LAYOUTS:
            _compare_non_local(kind, tuple(cfg.non_local_shape), layout, setting, table)


class _Pooling(nn.Module):
    """The first part of a context block."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c"]:
        return self.block.pool(x).flatten(1)


def _compare_global_context(
    shape: tuple[int, ...], layout: str, setting: BenchmarkSetting, table: SpeedTable
) -> None:
    block = _prepared(global_context(shape[1], ratio=1 / 4), setting)
    published = _prepared(PublishedContextBlock(block), setting)
    x = _draw(shape, layout, setting)
    name = _name(shape, layout)
    rate = partial(setting.byte_rate, POOLING_PASSES * x.nbytes)
    pools = {_PUBLISHED: _Pooling(published)}
    case = f"attention pooling, {name}"
    _compare_forms(case, _Pooling(block), pools, x, _forward, setting, table, rate)
    others: dict[str, nn.Module] = {_PUBLISHED: published}
    if layout == "contiguous":
        makers = {"timm": timm_global_context, "mmcv": mmcv_context_block}
        others |= _available(makers, f"GC, {name}", block, setting, table)
    _compare_both_directions(f"GC, {name}", block, others, x, setting, table)


def _compare_squeeze_excitation(
    shape: tuple[int, ...], setting: BenchmarkSetting, table: SpeedTable
) -> None:
    block = _prepared(squeeze_excitation(shape[1]), setting)
    case = f"SE, {_name(shape, 'contiguous')}"
    others = _available({"timm": timm_squeeze_excitation}, case, block, setting, table)
    if others:
        x = _draw(shape, "contiguous", setting)
        _compare_both_directions(case, block, others, x, setting, table)


def _compare_both_directions(
    case: str,
    block: nn.Module,
    others: Mapping[str, nn.Module],
    x: Tensor,
    setting: BenchmarkSetting,
    table: SpeedTable,
) -> None:
    for direction, make, passes in (
        ("forward", _forward, FORWARD_PASSES),
        ("forward + backward", _backward, FORWARD_PASSES + BACKWARD_PASSES),
    ):
        rate = partial(setting.byte_rate, passes * x.nbytes)
        _compare_forms(f"{case}, {direction}", block, others, x, make, setting, table, rate)


def _compare_non_local(
    kind: str, shape: tuple[int, ...], layout: str, setting: BenchmarkSetting, table: SpeedTable
) -> None:
    block = _prepared(NonLocalBlock(shape[1], kind=kind), setting)  # pyright: ignore[reportArgumentType]
    published = _prepared(PublishedNonLocalBlock(block), setting)
    x = _draw(shape, layout, setting)
    flops = 2 * count_macs(block, shape)
    # Each product of the forward pass has two in the backward pass.
    for direction, make, factor in (
        ("forward", _forward, 1),
        ("forward + backward", _backward, 3),
    ):
        for module in (block, published):
            module.train(make is _backward)
        case = f"NL {kind}, {_name(shape, layout)}, {direction}"
        rate = partial(setting.flop_rate, factor * flops)
        _compare_forms(case, block, {_PUBLISHED: published}, x, make, setting, table, rate)
        few, many = (
            peak_bytes(make(form, x, setting), setting.device) / 1e6 for form in (block, published)
        )
        table.add(f"{case}, peak memory", _PUBLISHED, few, many, "MB")


def _compare_forms(
    case: str,
    ours: nn.Module,
    others: Mapping[str, nn.Module],
    x: Tensor,
    make: _Make,
    setting: BenchmarkSetting,
    table: SpeedTable,
    rate: Callable[[float], Rate],
) -> None:
    """Lines of one case, after all forms were found to be one function.

    In float64, where that shows; in the type that is timed each form has its own error.
    """
    exact = _exactly(make, ours, x, setting)
    for name, form in others.items():
        result = _exactly(make, form, x, setting)
        require_close(f"{case}, {name}, float64", result, exact, _SAME_FUNCTION)
    steps = {}
    for name, form in others.items():
        steps[name] = make(form, x, setting)
        if name == _PUBLISHED and setting.compiled:
            steps[f"{name}, compiled"] = make(torch.compile(form), x, setting)
    tolerance = _TOLERANCE[setting.dtype]
    step = make(ours, x, setting)
    compare(table, setting, case, step, steps, exact=exact, tolerance=tolerance, rate=rate)


def _exactly(
    make: _Make, form: nn.Module, x: Tensor, setting: BenchmarkSetting
) -> tuple[Tensor, ...]:
    form = copy.deepcopy(form).double()
    return make(form, x.double(), replace(setting, dtype=torch.float64))()


def _available(
    makers: dict[str, Callable[[ContextBlock], nn.Module]],
    case: str,
    block: ContextBlock,
    setting: BenchmarkSetting,
    table: SpeedTable,
) -> dict[str, nn.Module]:
    """Blocks of other packages; a line says which one is not installed."""
    made = {}
    for name, make in makers.items():
        try:
            made[name] = _prepared(make(block), setting)
        except ImportError as error:
            table.leave_out(case, name, str(error))
    return made


def _forward(function: Callable[[Tensor], Tensor], x: Tensor, setting: BenchmarkSetting) -> Step:
    @torch.inference_mode()
    def step() -> tuple[Tensor, ...]:
        with setting.autocast():
            return (function(x),)

    return step


def _backward(block: nn.Module, x: Tensor, setting: BenchmarkSetting) -> Step:
    """Forward and backward pass, which give the output and the gradient of the input."""
    leaf = x.clone().requires_grad_()
    wanted = [leaf, *block.parameters()]
    # Of its own stream, so that all forms get the same.
    gradient = torch.empty_like(x, dtype=torch.float32)
    gradient.normal_(generator=torch.Generator(x.device).manual_seed(1))
    # Numbers that every type holds.
    gradient = gradient.bfloat16().to(x.dtype)

    def step() -> tuple[Tensor, ...]:
        with setting.autocast():
            z = block(leaf)
        return z.detach(), torch.autograd.grad(z, wanted, gradient)[0]

    return step


def _prepared(block: Any, setting: BenchmarkSetting) -> Any:
    draw_parameters(block)
    return block.to(setting.device).eval()


def _draw(
    shape: Sequence[int], layout: str, setting: BenchmarkSetting
) -> Float[Tensor, "b c t h w"]:
    x = torch.randn(*shape, device=setting.device).to(setting.dtype)
    return x.contiguous(memory_format=_LAYOUTS[layout])


def _name(shape: Sequence[int], layout: str) -> str:
    return f"{'x'.join(map(str, shape))}, {layout}"
