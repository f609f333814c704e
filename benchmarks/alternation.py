"""Ways of doing the same thing, timed in turns in one process."""

import gc
import math
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
    what: str,
    ours: Sequence[Tensor],
    exact: Sequence[Tensor],
    tolerance: float,
    *,
    theirs: Sequence[Tensor] | None = None,
) -> str:
    """How far results are from exact ones, in words.

        |result - exact| / |exact - mean(exact)|

    Where a computation enlarges every rounding, as a normalisation over few values does, no form of it
    comes near: ours may be three times as far off as theirs.

    Args:
        what: was computed, for the message.
        ours: tensors that our way gave.
        exact: the same tensors in a wider type, or by a way beyond doubt; the largest error counts.
        tolerance: the largest error of ours that passes whatever that of theirs is.
        theirs: the same tensors by another way.

    Raises:
        UnequalError: if the error of ours is larger, one is not a number, or shapes differ.
    """
    error = _error(what, ours, exact)
    note, allowed = "", tolerance
    if theirs is not None:
        other = _error(f"{what}, reference", theirs, exact)
        note, allowed = f", theirs by {other:.0e}", max(tolerance, 3 * other)
    if error > allowed:
        raise UnequalError(
            f"{what}: results differ by {error:.2g} of their spread from exact ones, {allowed:.2g} is "
            "allowed; find the wrong one before times are compared"
        )
    return f"differs by {error:.0e} (max {allowed:.2g}){note}"


def _error(what: str, results: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    shapes, expected = ([tuple(tensor.shape) for tensor in part] for part in (results, exact))
    if shapes != expected:
        raise UnequalError(
            f"{what}: the shapes are {shapes}, those of exact results {expected}; they must be equal "
            "before times are compared"
        )
    error = float(np.max([_relative_error(*pair) for pair in zip(results, exact, strict=True)]))
    if not math.isfinite(error):
        raise UnequalError(
            f"{what}: results differ by {error} from exact ones; find what is not finite before times are "
            "compared"
        )
    return error


def _relative_error(result: Tensor, exact: Tensor) -> float:
    exact = exact.detach().double()
    return float((result.detach().double() - exact).norm() / (exact - exact.mean()).norm())


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
