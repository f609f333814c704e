"""Ways of doing the same thing, timed in turns in one process."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

_SHORTEST_TURN_SECONDS = 2e-3


class UnequalError(ValueError):
    """Two ways gave different results, so their times must not be compared."""


def measure(
    contenders: Mapping[str, Callable[[int], Any]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, Float64[np.ndarray, " rounds"]]:
    """Seconds of each contender in each round, by name.

    All take part in every round, each time another one first, after one call that is not timed.

    Args:
        contenders: called with the number of the round.
        rounds: at least 1.
        clock: in seconds; CPU time by default.
    """
    names = list(contenders)
    seconds = {name: np.empty(rounds) for name in names}
    for name in names:
        contenders[name](0)
    # A collection would look at every object of every library each time.
    gc.freeze()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            # Nobody pays for what the one before left behind.
            gc.collect()
            start = clock()
            result = contenders[name](number)
            seconds[name][number] = clock() - start
            del result
    gc.unfreeze()
    return seconds


def measure_steps(
    steps: Mapping[str, Callable[[], Any]], rounds: int, device: torch.device
) -> dict[str, Float64[np.ndarray, " rounds"]]:
    """Wall seconds of one call of each step in each round, by name.

    A turn repeats a short step for two milliseconds, so that on a GPU its kernels queue up as they do
    within a net; the device has finished when a turn starts and when it ends.

    Args:
        steps: that work on the device.
        rounds: at least 1.
        device: whose work is waited for.

    Raises:
        ValueError: for less than one round.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; time at least 1 round")
    clock = device_clock(device)
    calls = {name: _num_calls(step, clock) for name, step in steps.items()}

    def turn(name: str) -> Callable[[int], None]:
        def repeat(_: int) -> None:
            for _ in range(calls[name]):
                steps[name]()

        return repeat

    seconds = measure({name: turn(name) for name in steps}, rounds, clock)
    return {name: times / calls[name] for name, times in seconds.items()}


def require_close(
    what: str, ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float
) -> str:
    """How equal two results are, in words: the largest difference relative to their spread.

        max |ours - theirs| / std(theirs)

    Args:
        what: was computed, for the message.
        ours: tensors that our way gave.
        theirs: the same tensors by another way; the largest difference of all counts.
        tolerance: the largest difference that passes.

    Raises:
        UnequalError: if the difference is larger or not a number, or shapes differ.
    """
    shapes, expected = ([tuple(tensor.shape) for tensor in part] for part in (ours, theirs))
    if shapes != expected:
        raise UnequalError(
            f"{what}: the shapes are {shapes}, the reference's {expected}; they must be equal before "
            "times are compared"
        )
    difference = float(
        np.max([_relative_difference(*pair) for pair in zip(ours, theirs, strict=True)])
    )
    if not difference <= tolerance:
        raise UnequalError(
            f"{what}: results differ by {difference:.2g} of their standard deviation, {tolerance:g} is "
            "allowed; find the wrong one before times are compared"
        )
    return f"differs by {difference:.0e} (max {tolerance:g})"


def _relative_difference(ours: Tensor, theirs: Tensor) -> float:
    theirs = theirs.detach().double()
    return float((ours.detach().double() - theirs).abs().max() / theirs.std())


def device_clock(device: torch.device) -> Callable[[], float]:
    """Wall seconds at which a device has finished what it was given."""

    def read() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return read


def _num_calls(step: Callable[[], Any], clock: Callable[[], float]) -> int:
    seconds = _seconds(step, clock)
    if seconds < 100 * _SHORTEST_TURN_SECONDS:
        # The first call also chose algorithms, compiled and allocated.
        seconds = _seconds(step, clock)
    return max(1, round(_SHORTEST_TURN_SECONDS / seconds))


def _seconds(step: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    step()
    return clock() - start
