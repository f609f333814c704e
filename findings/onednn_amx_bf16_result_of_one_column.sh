#!/usr/bin/env bash
# torch 2.13.0 on a CPU with AMX (seen on an Intel Xeon; the same in 2.14.1): the result of a convolution in bfloat16
# holds whatever was in memory before, where it is one column wide and the stride over columns is two: a picture of
# 12 x 2 pixels, a kernel of 3 x 3, stride 2, padding 1.
#
# Guess before: the result of float32, to the rounding of bfloat16, as on CPUs without AMX.
# Seen: ten of ten results are far off or NaN; in 3-D from a result of three rows, in 2-D between four and six. With a
# stride of one over columns, which gives the same single column, none is; nor two columns, float32, the
# gradients of input and weight, or the same call with ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16.
set -euo pipefail
if ! grep -q amx_bf16 /proc/cpuinfo; then
    echo "this needs a processor with AMX"
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "torch==2.13.0" "numpy==2.4.6"
cd "$folder"
cat > run.py <<'P'
import torch
import torch.nn.functional as F

torch.manual_seed(0)


def fill_and_free(value):
    for dtype in (torch.float32, torch.bfloat16):
        [torch.full((4**power,), value, dtype=dtype) for power in range(3, 11) for _ in range(6)]


def count_wrong(dtype, shape, stride):
    """How many of ten results are off by more than a hundredth, when memory was filled with 1000 before."""
    convolve, kernel = (F.conv2d, (3, 3)) if len(shape) == 4 else (F.conv3d, (1, 3, 3))
    padding = [size // 2 for size in kernel]
    num_wrong = 0
    for _ in range(10):
        x = torch.randn(shape).to(dtype)
        weight = torch.randn(32, shape[1], *kernel).to(dtype)
        fill_and_free(1000.0)
        result = convolve(x, weight, None, stride, padding).double()
        expected = convolve(x.double(), weight.double(), None, stride, padding)
        num_wrong += not (result - expected).norm() <= 0.01 * expected.norm()
    return num_wrong


print("torch", torch.__version__, torch.backends.cpu.get_cpu_capability())
counts = {
    "2-D, six rows": count_wrong(torch.bfloat16, (2, 32, 12, 2), (2, 2)),
    "3-D, three rows": count_wrong(torch.bfloat16, (2, 32, 2, 6, 2), (1, 2, 2)),
    "2-D, four rows": count_wrong(torch.bfloat16, (2, 32, 8, 2), (2, 2)),
    "2-D, six rows, two columns": count_wrong(torch.bfloat16, (2, 32, 12, 4), (2, 2)),
    "2-D, six rows, one column, stride 2 x 1": count_wrong(torch.bfloat16, (2, 32, 12, 1), (2, 1)),
    "2-D, six rows, float32": count_wrong(torch.float32, (2, 32, 12, 2), (2, 2)),
}
print("wrong of ten:", counts)
flat, deep, *others = counts.values()
assert flat >= 5 and deep >= 5 and not any(others), "the behaviour has changed"
P
venv/bin/python run.py
