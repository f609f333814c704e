#!/usr/bin/env bash
# nncf 3.4.0 with OpenVINO 2026.4.1: `nncf.quantize` takes for the range of an activation the mean over the calibration
# samples of each one's smallest and largest value, not the extremes. What one sample of a hundred has is cut off even
# where that sample is given again: of 100, 2 are left. With RangeEstimatorParametersSet.MINMAX all 100 are.
#
# Guess before: the values of the calibration samples themselves are inside the range, give or take a step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "nncf==3.4.0" "openvino==2026.4.1" "numpy==2.4.6"
cat > "$folder/run.py" <<'P'
import sys

# both report to their maker when they are imported; with this they do not
sys.modules["openvino_telemetry"] = None
import nncf
import numpy as np
import openvino as ov
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from openvino import opset13 as op


def graph():
    x = op.parameter([1, 4, 8, 8], np.float32)
    same = op.constant(np.eye(4, dtype=np.float32)[:, :, None, None])
    return ov.Model([op.convolution(x, same, [1, 1], [0, 0], [0, 0], [1, 1])], [x])


samples = [np.random.default_rng(n).random((1, 4, 8, 8), np.float32) for n in range(100)]
samples[50][0, 0, 0, 0] = 100
largest = {}
extremes = nncf.AdvancedQuantizationParameters(
    activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
)
for name, parameters in (("default", None), ("MINMAX", extremes)):
    made = nncf.quantize(
        graph(), nncf.Dataset(samples), subset_size=100, advanced_parameters=parameters
    )
    run = ov.Core().compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    largest[name] = float(run([samples[50]])[0].max())
print("nncf", nncf.__version__, "openvino", ov.__version__)
print("largest value 100 becomes", {name: round(value, 2) for name, value in largest.items()})
sys.exit(not (largest["default"] < 5 and 95 < largest["MINMAX"] < 105))
P
"$folder/venv/bin/python" "$folder/run.py" 2>&1 | grep -v -i "progress\|━\|statistics"
