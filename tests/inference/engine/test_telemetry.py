"""Programs that compute nets for us report to nobody."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from gcvideo.inference.engine._tracing import import_packages
import_packages("a test", sys.argv[1:], "install it")
for name in ("openvino.tools.ovc.telemetry_utils", "nncf.telemetry.wrapper"):
    module = sys.modules.get(name)
    if module is not None:
        print(name, getattr(module, "tm", module.telemetry if hasattr(module, "telemetry") else None))
"""


def run(project, folder, *words, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        env={**os.environ, "PYTHONPATH": str(project), "TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
def test_onnxruntime_leaves_no_identity_behind(project, tmp_path):
    pytest.importorskip("onnxruntime")
    run(project, tmp_path, "onnxruntime")
    assert [path.name for path in tmp_path.iterdir() if "ses" in path.name] == []


@pytest.mark.slow
def test_openvino_and_nncf_have_their_stubs(project, tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    told = run(project, tmp_path, "openvino", "nncf").splitlines()
    assert len(told) == 2
    assert "telemetry_stub" in told[0]
    assert "openvino_telemetry" not in told[1]
    assert "Stub" in told[1] or "Mock" in told[1]
