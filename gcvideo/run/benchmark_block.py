"""Context blocks against the forms in which others compute them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gcvideo.evaluation.peak_memory import peak_bytes
from gcvideo.evaluation.published_block import PublishedContextBlock, PublishedNonLocalBlock
from gcvideo.nn import ContextBlock, NonLocalBlock, global_context, squeeze_excitation
from gcvideo.report.speed_table import SpeedTable
from gcvideo.run.benchmark_model import draw_parameters
from gcvideo.run.benchmark_reference import (
    mmcv_context_block,
    timm_global_context,
    timm_squeeze_excitation,
)
from gcvideo.run.benchmark_setting import BenchmarkSetting, Step, compare

# Passes over the feature map that reads nothing twice which it can keep, and writes nothing else.
POOLING_PASSES = 1
FORWARD_PASSES = 3
BACKWARD_PASSES = 4
LEGEND = (
    "ours achieves: for pooling, x read once; for a forward pass of GC or SE, x read twice and the "
    "result written; forward + backward adds the gradient read, x and the gradient read, and that of x "
    "written: the bytes of these 1, 3 or 7 passes against a copy. For non-local blocks the products "
    "of the forward pass, and twice as many for the backward pass, against one product of large "
    "matrices. More than 100 % is cache.",
)
_LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last_3d}
# In standard deviations; eight bits are rounded at other places in each form.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.5}


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


def _compare_global_context(
    shape: tuple[int, ...], layout: str, setting: BenchmarkSetting, table: SpeedTable
) -> None:
    block = _prepared(global_context(shape[1], ratio=1 / 4), setting)
    published = _prepared(PublishedContextBlock(block), setting)
    x = _draw(shape, layout, setting)
    name = _name(shape, layout)
    tolerance = _TOLERANCE[setting.dtype]
    compare(
        table,
        setting,
        f"attention pooling, {name}",
        _forward(block.pool, x, setting),
        {
            form: _forward(lambda x, pool=pool: pool(x).flatten(1), x, setting)
            for form, pool in _published(published.pool, setting)
        },
        tolerance=tolerance,
        rate=partial(setting.byte_rate, POOLING_PASSES * x.nbytes),
    )
    others: dict[str, nn.Module | Callable[..., Any]] = dict(_published(published, setting))
    if layout == "contiguous":
        makers = {"timm": timm_global_context, "mmcv": mmcv_context_block}
        others |= _available(makers, f"GC, {name}", block, setting, table)
    _compare_both_directions(f"GC, {name}", block, others, x, setting, table, tolerance)


def _compare_squeeze_excitation(
    shape: tuple[int, ...], setting: BenchmarkSetting, table: SpeedTable
) -> None:
    block = _prepared(squeeze_excitation(shape[1]), setting)
    case = f"SE, {_name(shape, 'contiguous')}"
    others = _available({"timm": timm_squeeze_excitation}, case, block, setting, table)
    if others:
        x = _draw(shape, "contiguous", setting)
        tolerance = _TOLERANCE[setting.dtype]
        _compare_both_directions(case, block, others, x, setting, table, tolerance)


def _compare_both_directions(
    case: str,
    block: nn.Module,
    others: dict[str, Any],
    x: Tensor,
    setting: BenchmarkSetting,
    table: SpeedTable,
    tolerance: float,
) -> None:
    compare(
        table,
        setting,
        f"{case}, forward",
        _forward(block, x, setting),
        {name: _forward(other, x, setting) for name, other in others.items()},
        tolerance=tolerance,
        rate=partial(setting.byte_rate, FORWARD_PASSES * x.nbytes),
    )
    compare(
        table,
        setting,
        f"{case}, forward + backward",
        _backward(block, x, setting),
        {name: _backward(other, x, setting) for name, other in others.items()},
        tolerance=tolerance,
        rate=partial(setting.byte_rate, (FORWARD_PASSES + BACKWARD_PASSES) * x.nbytes),
    )


def _compare_non_local(
    kind: str, shape: tuple[int, ...], layout: str, setting: BenchmarkSetting, table: SpeedTable
) -> None:
    block = _prepared(NonLocalBlock(shape[1], kind=kind), setting)  # pyright: ignore[reportArgumentType]
    published = _prepared(PublishedNonLocalBlock(block), setting)
    x = _draw(shape, layout, setting)
    flops = _count_flops(_forward(block, x, setting))
    # Each product of the forward pass has two in the backward pass.
    for direction, make, factor in (
        ("forward", _forward, 1),
        ("forward + backward", _backward, 3),
    ):
        for module in (block, published):
            module.train(make is _backward)
        case = f"NL {kind}, {_name(shape, layout)}, {direction}"
        ours, theirs = make(block, x, setting), make(published, x, setting)
        compare(
            table,
            setting,
            case,
            ours,
            {name: make(other, x, setting) for name, other in _published(published, setting)},
            tolerance=_TOLERANCE[setting.dtype],
            rate=partial(setting.flop_rate, factor * flops),
        )
        few, many = (peak_bytes(step, setting.device) / 1e6 for step in (ours, theirs))
        table.add(f"{case}, peak memory", "published", few, many, "MB")


def _published(form: Any, setting: BenchmarkSetting) -> Iterator[tuple[str, Any]]:
    yield "published", form
    if setting.compiled:
        yield "published, compiled", torch.compile(form)


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
    gradient = torch.empty_like(x).normal_(generator=torch.Generator(x.device).manual_seed(1))

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


def _count_flops(step: Step) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()
