#!/usr/bin/env bash
# torch 2.13.0 on a CPU with AVX-512 and without AMX (seen on an AMD Zen 5; the same in 2.7.0, 2.14.1 and 2.15.0): the
# weight gradient of a 3-D convolution in bfloat16 holds whatever was in memory before, where the kernel is longer in
# time than the clip. With two frames and a kernel of 3 x 1 x 1, padding 1, two equal calls differ.
#
# Guess before: the gradient of float32, to the rounding of bfloat16.
# Seen: of ten calls on clips of two frames, all or most have a gradient that is far off or NaN, by what memory held;
# of calls on three frames none is off by more than 0.002. The output and the gradient of the input are right, float32
# and float16 too, and with ONEDNN_MAX_CPU_ISA=AVX2 bfloat16 as well. Padding by zeros before the convolution helps. It is the
# same in 2-D and for clips that are lower or narrower than the kernel; where more is missing, the process can crash.
set -euo pipefail
if ! grep -q avx512_bf16 /proc/cpuinfo || grep -q amx_bf16 /proc/cpuinfo; then
    echo "this needs a processor with AVX-512 bf16 and without AMX"
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


def count_wrong(dtype, frames, *, pads_first=False):
    """How many of ten weight gradients are off by more than a hundredth, when memory was filled with 1000 before."""
    num_wrong = 0
    for _ in range(10):
        clip = torch.randn(4, 32, frames, 4, 4).to(dtype)
        weight = torch.randn(32, 32, 3, 1, 1).to(dtype).requires_grad_()
        if pads_first:
            result = F.conv3d(F.pad(clip, (0, 0, 0, 0, 1, 1)), weight)
        else:
            result = F.conv3d(clip, weight, padding=(1, 0, 0))
        grad = torch.randn_like(result)
        fill_and_free(1000.0)
        result.backward(grad)
        expected = torch.nn.grad.conv3d_weight(clip.double(), weight.shape, grad.double(), padding=(1, 0, 0))
        num_wrong += not (weight.grad.double() - expected).norm() <= 0.01 * expected.norm()
    return num_wrong


print("torch", torch.__version__, torch.backends.cpu.get_cpu_capability())
counts = {
    "bfloat16, two frames": count_wrong(torch.bfloat16, 2),
    "bfloat16, two frames, padded before": count_wrong(torch.bfloat16, 2, pads_first=True),
    "bfloat16, three frames": count_wrong(torch.bfloat16, 3),
    "float32, two frames": count_wrong(torch.float32, 2),
}
print("wrong of ten:", counts)
short, *others = counts.values()
assert short >= 5 and not any(others), "the behaviour has changed"
P
venv/bin/python run.py
