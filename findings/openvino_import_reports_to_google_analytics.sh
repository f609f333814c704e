#!/usr/bin/env bash
# OpenVINO 2026.4.1 (with openvino-telemetry 2025.2.0, which it requires): `import openvino` alone posts an event to
# www.google-analytics.com, with a client id that it keeps in ~/intel, before anybody was asked: the question is put by
# command-line tools alone, and no answer counts as consent. It posts from a process that it forks in a thread.
#
# Guess before: an event for a conversion at the most, and only after consent.
# Here urlopen writes down what would be sent; nothing leaves the machine.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "openvino==2026.4.1" "openvino-telemetry==2025.2.0" "numpy==2.4.6"
mkdir "$folder/home"
cat > "$folder/run.py" <<'P'
import os
import sys
import time
import urllib.request
from importlib.metadata import version

sent = sys.argv[1]


def write_down(request, *args, **named):
    with open(sent, "ab") as file:
        file.write(request.full_url.split("?")[0].encode() + b" " + (request.data or b"") + b"\n")


urllib.request.urlopen = write_down
import openvino  # noqa: E402

deadline = time.monotonic() + 20
while not os.path.exists(sent) and time.monotonic() < deadline:
    time.sleep(0.1)
print("openvino", version("openvino"), "openvino-telemetry", version("openvino-telemetry"))
P
env -u CI -u TF_BUILD -u JENKINS_URL HOME="$folder/home" "$folder/venv/bin/python" "$folder/run.py" "$folder/sent" < /dev/null
sed 's/"client_id": *"[^"]*"/"client_id": "..."/' "$folder/sent" | cut -c1-300
ls -A "$folder/home/intel"
grep -q "google-analytics.com/mp/collect" "$folder/sent"
grep -q "general_import" "$folder/sent"
test -s "$folder/home/intel/openvino_ga_cid"
