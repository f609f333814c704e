"""The Triton kernels without a GPU: their arithmetic under the interpreter, compilation for Hopper.

Triton reads TRITON_INTERPRET when it is imported: run as a script with it, this file is the cases.
"""

import inspect
import itertools
import os
import subprocess
import sys

import pytest
import torch

# As for channels-last input, whose stride of one over the channels Triton treats as a constant.
HOPPER_CASES = {
    "_chunk_kernel": {"block_c": 2048, "block_p": 8, "stride_c": 1},
    "_gradient_kernel": {
        "block_c": 512,
        "block_p": 16,
        "has_dy": True,
        **dict.fromkeys(("x_c", "dx_c", "dy_c"), 1),
    },
    "_combination_kernel": {"rows": 128, "columns": 128},
}


def expected(x, weight, bias, dy, g):
    """Context, weights and gradients in float64, by autograd."""
    x, weight, bias = (t.detach().double().requires_grad_() for t in (x, weight, bias))
    weights = (torch.einsum("kc,ncp->np", weight, x) + bias).softmax(-1)
    context = torch.einsum("np,ncp->nc", weights, x)
    given = 0 if dy is None else (x * dy.double()).sum()
    gradients = torch.autograd.grad((context * g.double()).sum() + given, (x, weight))
    return context, weights, *gradients


def check(kernel, x, scale=1.0, *, with_dy=True):
    n, c, _ = x.shape
    weight, bias, g = scale * torch.randn(1, c) / c**0.5, torch.randn(1), torch.randn(n, c)
    dy = torch.randn_like(x) if with_dy else None
    context, weights = kernel.pool(x, weight, bias)
    dx, dw = kernel.pool_backward(dy, g, x, weight, weights, context)
    assert dx.stride() == torch.empty_like(x).stride()
    found = (context, weights, dx, dw)
    wanted = expected(x, weight, bias, dy, g)
    # All sums are in float32: only dx, which has the type of x, is rounded to it.
    fine = 2e-5 * max(1.0, scale)
    for name, ours, theirs in zip(("context", "weights", "dx", "dw"), found, wanted, strict=True):
        rounding = torch.finfo(x.dtype).eps if name == "dx" else fine
        tolerance = max(fine, rounding)
        assert ours.isfinite().all(), name
        torch.testing.assert_close(ours.double(), theirs, atol=tolerance, rtol=tolerance)


def channels_last(x):
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def all_cases():
    from gcvideo.nn import _attention_pool_kernel as kernel  # noqa: PLC0415 (not without the variable)

    torch.manual_seed(0)
    sizes = itertools.product((3, 17, 48), (1, 5, 77), (torch.float32,))
    low_precision = itertools.product((17,), (1, 77), (torch.float16, torch.bfloat16))
    for c, p, dtype in (*sizes, *low_precision):
        for layout in (torch.Tensor.contiguous, channels_last):
            check(kernel, layout(torch.randn(2, c, p, dtype=dtype)))
    check(kernel, torch.randn(1, 3, 6272))
    check(kernel, channels_last(torch.randn(1, 3, 6272)), with_dy=False)
    # Many chunks, the last one of a single position; a slice of a larger map.
    kernel._PROGRAMS_PER_PROCESSOR = 100
    check(kernel, torch.randn(2, 48, 577))
    check(kernel, torch.randn(2, 40, 90)[:, 3:20, 5:82])
    extreme(kernel)
    repeatable(kernel)


def extreme(kernel):
    """Logits of +-1e4: one position takes all the weight, and nothing overflows."""
    x = torch.randn(2, 3, 577) / 10
    x[:, 0] = -1
    x[0, 0, 5] = x[1, 0, 576] = 1
    weight, bias, g = torch.tensor([[1e4, 0.0, 0.0]]), torch.zeros(1), torch.randn(2, 3)
    for y in (x, channels_last(x)):
        context, weights = kernel.pool(y, weight, bias)
        dx, dw = kernel.pool_backward(None, g, y, weight, weights, context)
        assert torch.equal(context, torch.stack([x[0, :, 5], x[1, :, 576]]))
        assert weights[0, 5] == weights[1, 576] == 1
        assert torch.equal(dx[0, :, 5], g[0])
        assert dx.isfinite().all()
        assert dx.count_nonzero() == 6
        assert not dw.any()
    # All logits the same, and as low: a mean.
    x[:, 0] = -1
    torch.testing.assert_close(kernel.pool(x, weight, bias)[0], x.mean(2))


def repeatable(kernel):
    x, weight, bias = torch.randn(2, 17, 77), torch.randn(1, 17), torch.zeros(1)
    first, second = (kernel.pool(x, weight, bias) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.slow
def test_the_kernels_equal_float64_in_all_types_layouts_and_odd_sizes():
    pytest.importorskip("triton")
    variables = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__], env=variables, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]


def source_of(kernel, constants, x_type):
    """A kernel with the types of its arguments, all of which are multiples of 16."""
    from triton.compiler import ASTSource  # noqa: PLC0415 (may be absent)

    types, values, attributes = {}, {}, {}
    for index, name in enumerate(inspect.signature(kernel.fn).parameters):
        if name in constants:
            types[name], values[index,] = "constexpr", constants[name]
            continue
        number = name in ("c", "p", "chunk", "num_chunks") or name[-2:] in ("_n", "_c", "_p")
        pointer = f"*{x_type}" if name in ("x", "dx", "dy") else "*fp32"
        types[name] = "i32" if number else pointer
        attributes[index,] = [["tt.divisibility", 16]]
    return ASTSource(kernel, types, values, attributes)


@pytest.mark.parametrize("x_type", ["bf16", "fp32"])
@pytest.mark.parametrize("name", HOPPER_CASES)
def test_the_kernels_compile_for_hopper_with_loads_of_16_bytes(name, x_type, tmp_path, monkeypatch):
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget  # noqa: PLC0415 (may be absent)

    from gcvideo.nn import _attention_pool_kernel as attention_pool_kernel  # noqa: PLC0415

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(attention_pool_kernel, name)
    compiled = triton.compile(
        source_of(kernel, HOPPER_CASES[name], x_type),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": 8, "enable_fp_fusion": True},
    )
    assert ".target sm_90" in compiled.asm["ptx"]
    assert len(compiled.asm["cubin"]) > 0
    assert "ld.global.v4.b32" in compiled.asm["ptx"]


if __name__ == "__main__":
    all_cases()
