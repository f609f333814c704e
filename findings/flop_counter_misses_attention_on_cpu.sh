#!/usr/bin/env bash
# torch 2.14.1: FlopCounterMode counts nothing for scaled_dot_product_attention on tensors of a CPU, and all of it
# on tensors of the meta device, for the same call and shape.
#
# Guess before: 4 b h n^2 d FLOPs on both devices, for the counter knows the operator.
# Seen: cpu 0, meta 262144 (b = h = 1, n = 64, d = 16), in float32 and bfloat16, with and without gradients. A net
# with attention so costs less on the CPU than it does. torch 2.15.0 counts both. Count on the meta device.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "torch==2.14.1" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'P'
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

found = {}
for device in ("cpu", "meta"):
    query = torch.zeros(1, 1, 64, 16, device=device)
    with FlopCounterMode(display=False) as counter:
        scaled_dot_product_attention(query, query, query)
    found[device] = counter.get_total_flops()
print(f"torch {torch.__version__}: {found}")
assert found == {"cpu": 0, "meta": 4 * 64 * 64 * 16}, "the behaviour has changed"
P
