#!/usr/bin/env bash
# absl-py 2.5.1 with hydra-core 1.3.8: whatever stood for sys.stderr when absl.logging was imported (as TensorBoard does) is closed
# when Hydra configures logging later. A program that catches stderr around imports cannot read what it caught, and under
# pytest, one test that imports absl makes every test after a Hydra application fail with "I/O operation on closed file".
#
# Guess before: the handler writes to the new stderr, or to the old one; a library does not close a stream that it was not given.
# Seen: Hydra's dictConfig shuts down all handlers, and absl's closes its stream unless that is stdout or stderr of this moment.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "absl-py==2.5.1" "hydra-core==1.3.8"
cd "$folder"
cat > run.py <<'P'
import contextlib
import io
from importlib.metadata import version

import hydra

caught = io.StringIO()
with contextlib.redirect_stderr(caught):
    import absl.logging  # noqa: F401


@hydra.main(version_base="1.3", config_path=None)
def job(cfg):
    pass


assert not caught.closed
job()
print(f"absl-py {version('absl-py')}, hydra-core {version('hydra-core')}: caught stderr is {'closed' if caught.closed else 'open'}")
assert caught.closed, "the behaviour has changed"
P
venv/bin/python run.py hydra.run.dir=out
