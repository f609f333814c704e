"""What a benchmark runs on, and the way in which it compares."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from alternation import measure_steps, require_close
from roofline import Roofline
from speed_table import Rate, SpeedTable
from torch import Tensor

from gcvideo.command._device import best_precision
from gcvideo.command._record import processor_name
from gcvideo.data._parallel import usable_cores

Step = Callable[[], tuple[Tensor, ...]]
"""A piece of work that gives what shows whether it was done right."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class BenchmarkSetting:
    """Where and how often something is timed.

    Args:
        device: that computes.
        dtype: of our convolutions and products, by autocast where it is not float32.
        rounds: in which all ways take their turn.
        compiled: whether ``torch.compile`` takes part.
        keeps_freed_memory: whether the process uses freed memory again, see
            :func:`gcvideo.models.keep_freed_memory`.
        roofline: what the device was measured to do in this type.
    """

    device: torch.device
    dtype: torch.dtype
    rounds: int
    compiled: bool
    keeps_freed_memory: bool
    roofline: Roofline

    def autocast(self, dtype: torch.dtype | None = None) -> AbstractContextManager[Any]:
        """Computation in a type, of weights in float32 unless they are wider; None: in that of the setting."""
        dtype = dtype or self.dtype
        if dtype.itemsize >= 4:
            return nullcontext()
        return torch.autocast(self.device.type, dtype)

    def byte_rate(self, num_bytes: float, seconds: float) -> Rate:
        """Bytes per second against a copy."""
        rate = 1e-9 * num_bytes / seconds
        return Rate(rate, "GB/s", rate / self.roofline.gigabytes_per_second)

    def flop_rate(self, num_flops: float, seconds: float) -> Rate:
        """Multiplications and additions per second against a matrix product."""
        rate = 1e-12 * num_flops / seconds
        return Rate(rate, "TFLOP/s", rate / self.roofline.teraflops_per_second)

    def machine(self) -> dict[str, Any]:
        """What figures depend on besides the code."""
        on_gpu = self.device.type == "cuda"
        return {
            "machine": torch.cuda.get_device_name(self.device) if on_gpu else processor_name(),
            "cores": usable_cores(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "keeps_freed_memory": self.keeps_freed_memory,
            "dtype": str(self.dtype).removeprefix("torch."),
            "date": datetime.date.today().isoformat(),
            "copy_gigabytes_per_second": self.roofline.gigabytes_per_second,
            "product_teraflops_per_second": self.roofline.teraflops_per_second,
        }


def choose_dtype(name: str, device: torch.device) -> tuple[torch.dtype, str]:
    """The type of the key ``dtype`` and a warning, which is empty where the device computes in it.

    Raises:
        ValueError: for an unknown type.
    """
    has_bfloat16 = best_precision(device.type) == "bf16-mixed"
    if name == "auto":
        return (torch.bfloat16 if has_bfloat16 else torch.float32), ""
    if name not in _DTYPES:
        raise ValueError(f"the type '{name}' is not known; choose auto, {' or '.join(_DTYPES)}")
    if name == "bfloat16" and not has_bfloat16:
        return _DTYPES[name], (
            "bfloat16 has no instructions here and is emulated, mostly several times slower; "
            "dtype=auto takes float32"
        )
    return _DTYPES[name], ""


def compare(
    table: SpeedTable,
    setting: BenchmarkSetting,
    case: str,
    ours: Step,
    references: Mapping[str, Step],
    *,
    exact: Sequence[Tensor],
    tolerance: float,
    rate: Callable[[float], Rate] | None = None,
) -> None:
    """Time our way and others in turns, after their results were found equal: a line for each.

    Args:
        table: gets the lines.
        setting: of the benchmark.
        case: what is done.
        ours: our way.
        references: other ways by name.
        exact: result to measure the errors of all ways by.
        tolerance: of :func:`~alternation.require_close`.
        rate: what our way achieves in so many seconds.

    Raises:
        UnequalError: if a way gives another result.
    """
    results = ours()
    notes = {
        name: require_close(f"{case}, {name}", results, exact, tolerance, theirs=step())
        for name, step in references.items()
    }
    seconds = measure_steps({"ours": ours, **references}, setting.rounds, setting.device)
    achieved = None if rate is None else rate(float(np.median(seconds["ours"])))
    for name, note in notes.items():
        table.add_times(case, name, seconds["ours"], seconds[name], note=note, rate=achieved)
