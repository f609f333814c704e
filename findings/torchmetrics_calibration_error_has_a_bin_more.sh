#!/usr/bin/env bash
# multiclass_calibration_error of torchmetrics 1.9.0 with torch 2.13.0: two answers of a net, one wrong with a score of
# exactly 1, as a softmax in float32 gives for logits that lie 20 apart, and one right with 0.97; 10 bins.
#
# Guess before: both lie in the last bin, so the error is |1/2 - 0.985| = 0.485.
# Seen: 0.515. A score of 1 has a bin of its own, the eleventh of ten: (|0 - 1| + |1 - 0.97|) / 2. With 0.9999999 in its
# place it is 0.485. So the error of a sure net depends on how many of its scores are rounded to 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "torchmetrics==1.9.0" "torch==2.13.0" "numpy==2.4.6"
cd "$folder"
cat > run.py <<'P'
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

sure = torch.tensor([20.0, 0.0, 0.0]).softmax(0)
almost = torch.tensor([0.9999999, 5e-8, 5e-8])
right = torch.tensor([0.01, 0.97, 0.02])
labels = torch.tensor([1, 1])
print("score", float(sure[0]))
for first in (sure, almost):
    scores = torch.stack([first, right])
    print(f"{float(multiclass_calibration_error(scores, labels, num_classes=3, n_bins=10)):.3f}")
P
found=$(venv/bin/python run.py)
echo "$found"
[ "$found" = $'score 1.0\n0.515\n0.485' ]
