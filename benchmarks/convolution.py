"""Time of the convolutions of Slow R50, forward and backward: VideoConv3d against other forms.

python benchmarks/convolution.py --json convolution.json

Wall time on all cores, float32, two clips; outputs and gradients were found equal.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from alternation import require_close
from comparison import Comparison, measure, report
from torch import Tensor, nn

from gcvideo.models import keep_freed_memory
from gcvideo.nn._convolution import use_video_convolutions

# Input and output channels, frames, pixels along a side, kernel and stride over pixels.
LAYERS = (
    (64, 64, 8, 56, (1, 3, 3), 1),
    (256, 64, 8, 56, (1, 1, 1), 1),
    (256, 512, 8, 56, (1, 1, 1), 2),
    (128, 128, 8, 28, (1, 3, 3), 1),
    (1024, 256, 8, 14, (3, 1, 1), 1),
    (256, 256, 8, 14, (1, 3, 3), 1),
    (2048, 512, 8, 7, (3, 1, 1), 1),
    (512, 512, 8, 7, (1, 3, 3), 1),
)
TOLERANCE = 1e-3


def forms(conv: nn.Conv3d, x: Tensor) -> Mapping[str, tuple[nn.Module, Tensor]]:
    """The ways of running a convolution, each with its input."""
    made = {"contiguous": (conv, x)}
    last = x.contiguous(memory_format=torch.channels_last_3d)
    for name, folded in (("channels-last", None), ("folded", True), ("VideoConv3d", False)):
        net = copy.deepcopy(conv).to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]
        if folded is not None:
            use_video_convolutions(net, folded=folded)
        made[name] = (net, last)
    return made


def step(conv: nn.Module, x: Tensor, grad: Tensor, _: int = 0) -> tuple[Tensor, ...]:
    """Output and gradients of input and weight."""
    x = x.detach().requires_grad_()
    y = conv(x)
    return y, *torch.autograd.grad(y, (x, *conv.parameters()), grad)


def compare(table: Comparison, layer: tuple, clips: int, rounds: int) -> None:
    """Lines of one layer; raises UnequalError if forms disagree."""
    channels, outputs, frames, size, kernel, stride = layer
    conv = nn.Conv3d(
        channels, outputs, kernel, (1, stride, stride), tuple(k // 2 for k in kernel), bias=False
    )
    x = torch.randn(clips, channels, frames, size, size)
    grad = torch.randn_like(conv(x))
    contenders: dict[str, Callable[[int], tuple[Tensor, ...]]] = {}
    for name, (module, given) in forms(conv, x).items():
        like = torch.contiguous_format if name == "contiguous" else torch.channels_last_3d
        contenders[name] = partial(step, module, given, grad.contiguous(memory_format=like))
    shown = "x".join(map(str, kernel)) + (f" / {stride}" if stride > 1 else "")
    case = f"{channels} to {outputs}, {shown}, {frames} x {size} x {size}"
    expected = contenders["contiguous"](0)
    notes = {
        name: require_close(f"{case}, {name}", run(0), expected, TOLERANCE)
        for name, run in contenders.items()
    }
    seconds = measure(contenders, rounds, time.perf_counter)
    ours = seconds.pop("VideoConv3d")
    for name, theirs in seconds.items():
        table.add_times(case, name, ours, theirs, note=notes["VideoConv3d"])


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--layers", type=int, nargs="+", default=range(len(LAYERS)))
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", help="file to write the figures to")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; 1 if results are unequal."""
    options = parse_arguments(arguments)
    torch.manual_seed(0)
    keep_freed_memory()
    table = Comparison(f"medians of {options.rounds} rounds; ratio > 1: VideoConv3d is faster")

    def compare_layers() -> None:
        for number in options.layers:
            compare(table, LAYERS[number], options.clips, options.rounds)

    return report(table, compare_layers, options.json)


if __name__ == "__main__":
    sys.exit(main())
