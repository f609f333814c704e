#!/usr/bin/env bash
# UniformTemporalSubsample of pytorchvideo 0.1.5 with torch 2.13.0, on x86-64: of 17 frames, 15 are asked for. The middle
# of them is frame 8 exactly (7 x 16 / 14). Which one is taken depends on the instructions that torch computes with.
#
# Guess before: the middle frame, on every machine.
# Seen: frame 7 with AVX2 or AVX-512, whose linspace gives 7.9999995 there, frame 8 without them
# (ATEN_CPU_CAPABILITY=default). Of all clips of up to 300 frames from which 2 to 64 are taken, 159 miss a frame with AVX2 and
# 133 without; none of them takes 4, 8, 16 or 32 frames.
set -euo pipefail
grep -q avx2 /proc/cpuinfo || { echo "not to be seen here: the processor has no AVX2"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "pytorchvideo==0.1.5" "torch==2.13.0" "numpy==2.4.6" "setuptools==80.9.0"
cd "$folder"
cat > run.py <<'P'
import importlib.util
from pathlib import Path

import torch

# The file alone: the package around it asks for a module that newer torchvisions lack.
(root,) = importlib.util.find_spec("pytorchvideo").submodule_search_locations
path = Path(root) / "transforms" / "functional.py"
spec = importlib.util.spec_from_file_location("functional", path)
functional = importlib.util.module_from_spec(spec)
spec.loader.exec_module(functional)


def missed(frames, taken):
    clip = torch.arange(frames).view(1, frames, 1, 1)
    found = functional.uniform_temporal_subsample(clip, taken).flatten().tolist()
    return [i * (frames - 1) // (taken - 1) for i in range(taken) if found[i] != i * (frames - 1) // (taken - 1)]


cases = [(n, t) for t in range(2, 65) for n in range(t, 301) if missed(n, t)]
usual = [case for case in cases if case[1] in (4, 8, 16, 32)]
print("17 to 15 misses", missed(17, 15), "| of all", len(cases), "| of usual lengths", len(usual))
P
wide=$(ATEN_CPU_CAPABILITY=avx2 venv/bin/python run.py)
narrow=$(ATEN_CPU_CAPABILITY=default venv/bin/python run.py)
printf 'AVX2: %s\nwithout: %s\n' "$wide" "$narrow"
[ "$wide" = "17 to 15 misses [8] | of all 159 | of usual lengths 0" ]
[ "$narrow" = "17 to 15 misses [] | of all 133 | of usual lengths 0" ]
