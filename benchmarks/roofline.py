from dataclasses import dataclass

import numpy as np
import torch
from alternation import measure_steps

_COPY_BYTES = {"cpu": 2**27, "cuda": 2**30}
_MATRIX_SIZE = {"cpu": 1024, "cuda": 8192}


@dataclass(frozen=True)
class Roofline:
    """What a device was measured to do at most: the limits of memory-bound and of compute-bound work.

    Args:
        gigabytes_per_second: read and written in a copy of a large tensor onto another one.
        teraflops_per_second: multiplications and additions in a product of two square matrices.
    """

    gigabytes_per_second: float
    teraflops_per_second: float


def measure_roofline(
    device: torch.device,
    dtype: torch.dtype,
    *,
    rounds: int = 5,
    copy_bytes: int | None = None,
    matrix_size: int | None = None,
) -> Roofline:
    """Measure a copy and a matrix product, medians of some rounds.

    Args:
        device: to measure.
        dtype: of the numbers.
        rounds: at least 1.
        copy_bytes: of each of the two tensors of the copy; None: far more than caches hold, 128 MiB on
            a CPU and 1 GiB on a GPU.
        matrix_size: rows and columns; None: 1024 on a CPU, 8192 on a GPU.
    """
    num_bytes = copy_bytes or _COPY_BYTES[device.type]
    size = matrix_size or _MATRIX_SIZE[device.type]
    source = torch.ones(max(1, num_bytes // dtype.itemsize), dtype=dtype, device=device)
    target = torch.empty_like(source)
    factor = torch.full((size, size), 1 / size, dtype=dtype, device=device)
    product = torch.empty_like(factor)
    with torch.inference_mode():
        seconds = measure_steps(
            {
                "copy": lambda: target.copy_(source),
                "product": lambda: torch.mm(factor, factor, out=product),
            },
            rounds,
            device,
        )
    return Roofline(
        gigabytes_per_second=2e-9 * source.nbytes / float(np.median(seconds["copy"])),
        teraflops_per_second=2e-12 * size**3 / float(np.median(seconds["product"])),
    )
