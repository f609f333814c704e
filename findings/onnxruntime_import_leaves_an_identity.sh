#!/usr/bin/env bash
# onnxruntime 1.32.0 (wheel of PyPI, Linux): `import onnxruntime` alone, without a session, writes a random identity into
# $TMPDIR/.ses, which later processes keep, and then looks up mobile.events.data.microsoft.com (seen with strace; not
# part of this script). 1.28.0 does neither; 1.29 and 1.30 write a log beside it. ORT_DISABLE_TELEMETRY=1 prevents it, while
# disable_telemetry_events() can only be called when it has happened.
#
# Guess before: nothing is written, because telemetry of ONNX Runtime was documented for Windows alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "numpy==2.4.6"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --target "$folder/new" "onnxruntime==1.32.0"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --target "$folder/old" "onnxruntime==1.28.0"
imports() { # version, folder for temporary files
    mkdir -p "$2"
    TMPDIR="$2" PYTHONPATH="$folder/$1" "$folder/venv/bin/python" -c "import onnxruntime; print(onnxruntime.__version__)"
}
imports new "$folder/a"
first=$(sed -n 2p "$folder/a/.ses")
imports new "$folder/a"
second=$(sed -n 2p "$folder/a/.ses")
imports old "$folder/b"
ORT_DISABLE_TELEMETRY=1 imports new "$folder/c"
echo "after an import: $(ls -A "$folder/a" | tr '\n' ' '); the identity of a second process is the same: $([ "$first" = "$second" ] && echo yes)"
echo "1.28.0: $(ls -A "$folder/b" | wc -l) files; with ORT_DISABLE_TELEMETRY=1: $(ls -A "$folder/c" | wc -l) files"
[[ "$first" =~ ^[0-9a-f]{8}-[0-9a-f-]{27}$ && "$first" = "$second" ]]
[[ -z "$(ls -A "$folder/b")" && -z "$(ls -A "$folder/c")" ]]
# Seen: after an import: .ses ; the identity of a second process is the same: yes
#       1.28.0: 0 files; with ORT_DISABLE_TELEMETRY=1: 0 files
