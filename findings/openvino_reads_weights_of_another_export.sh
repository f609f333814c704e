#!/usr/bin/env bash
# OpenVINO 2026.4.1: NAME.xml read with the NAME.bin of another export computes the other net's weights in the first
# net's graph, without an error or a warning: nothing in the two files says that they belong together.
#
# Guess before: an error, because an .xml names the size and the offset of every weight, so a hash was to be expected too.
# Seen: with weights of the same size all is taken as it is; only a shorter file is refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "openvino==2026.4.1" "numpy==2.4.6"
cd "$folder"
cat > run.py <<'P'
import shutil
from importlib.metadata import version

import numpy as np
import openvino as ov
import openvino.opset13 as ops

core = ov.Core()


def write(name, scale):
    """y = scale x, as a product with a diagonal matrix."""
    x = ops.parameter([1, 4], np.float32)
    weights = ops.constant(scale * np.eye(4, dtype=np.float32))
    ov.save_model(ov.Model([ops.matmul(x, weights, False, False)], [x], name), f"{name}.xml", compress_to_fp16=False)


def scale_of(name):
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return float(core.compile_model(core.read_model(f"{name}.xml"), "CPU", settings)(np.ones((1, 4), np.float32))[0][0, 0])


write("first", 2)
write("second", 5)
before = scale_of("first")
shutil.copy("second.bin", "first.bin")
after = scale_of("first")
print(f"openvino {version('openvino')}: y = {before:g} x; with the weights of another export y = {after:g} x")
assert (before, after) == (2, 5), "the behaviour has changed"
P
venv/bin/python run.py
