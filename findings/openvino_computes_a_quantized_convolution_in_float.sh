#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU: a convolution with int8 weights and a rounded input (FakeQuantize, 256 levels, one scale) is
# computed in int8, but in float32 as soon as a product of two activations reads the same rounded values through a
# Reshape, as attention pooling beside a residual branch does. Nothing says so: the graph still has its int8 weights.
# If that product reads the values from before the rounding, the convolution is computed in int8 again.
#
# Guess before: each reader of the rounded values is computed for itself; the product in float, the convolution in int8.
# The blocks of a net that nncf quantises meet this; a net with 13 of them lost a quarter of its time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "openvino==2026.4.1" "numpy==2.4.6"
cat > "$folder/run.py" <<'P'
import sys

# openvino reports to its maker when it is imported; with this it does not
sys.modules["openvino_telemetry"] = None
import numpy as np
import openvino as ov
from openvino import opset13 as op

rng = np.random.default_rng(0)


def constant(value):
    return op.constant(np.array(value, np.float32))


def graph(reads):
    x = op.parameter([1, 64, 8, 14, 14], np.float32)
    positive = op.relu(x)
    rounded = op.fake_quantize(positive, constant(0), constant(4), constant(0), constant(4), 256)
    whole = op.constant(rng.integers(-127, 128, (256, 64, 1, 1, 1)).astype(np.int8))
    weights = op.multiply(op.convert(whole, np.float32), constant(np.full((256, 1, 1, 1, 1), 0.01)))
    convolution = op.convolution(rounded, weights, [1] * 3, [0] * 3, [0] * 3, [1] * 3)
    if reads is None:
        return ov.Model([convolution], [x])
    attention = op.parameter([1, 1, 8 * 14 * 14], np.float32)
    values = {"rounded": rounded, "unrounded": positive}[reads]
    flat = op.reshape(values, op.constant(np.array([1, 64, 8 * 14 * 14])), False)
    return ov.Model([convolution, op.matmul(attention, flat, False, True)], [x, attention])


print("openvino", ov.__version__)
found = {}
for reads in (None, "rounded", "unrounded"):
    compiled = ov.Core().compile_model(graph(reads), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for node in compiled.get_runtime_model().get_ops():
        facts = {key: str(value.value) for key, value in node.get_rt_info().items()}
        if facts["layerType"] == "Convolution":
            found[reads] = facts["runtimePrecision"]
            print("a product reads", reads, "values: the convolution is computed in", found[reads])
sys.exit(found != {None: "u8", "rounded": "f32", "unrounded": "u8"})
P
"$folder/venv/bin/python" "$folder/run.py"
