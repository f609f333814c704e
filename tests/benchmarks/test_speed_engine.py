from importlib.util import find_spec

import pytest
from small_benchmark import lines_of, run_benchmark

pytestmark = [
    pytest.mark.usefixtures("unchecked"),
    pytest.mark.skipif(not find_spec("nncf"), reason="needs openvino and nncf"),
]
SMALL = ["what=engine", "rounds=1", "num_frames=2", "crop_size=32", "batch_size=2"]


@pytest.mark.slow
def test_each_engine_is_timed_against_pytorchvideo_and_openvino_itself(tmp_path):
    path = tmp_path / "engine.json"
    run_benchmark(*SMALL, "models=['slow_gc width=4']", "dtype=float32", f"json={path}")
    lines = lines_of(path)
    found = {(line["case"], line["reference"]) for line in lines}
    plain = "pytorchvideo, contiguous, float32"
    for form in ("torch, float32", "onnxruntime, float32", "openvino, float32", "openvino, int8"):
        assert (f"slow_gc width=4, {form}", plain) in found
    assert ("slow_gc width=4, openvino, float32", "openvino itself") in found
    left_out = [line for line in lines if line["ratio"] is None]
    assert ["torch, bfloat16" in line["case"] for line in left_out][:1] == [True]


def test_engines_are_compared_on_the_cpu(monkeypatch):
    import speed  # noqa: PLC0415 - beside the tests
    import torch  # noqa: PLC0415

    monkeypatch.setattr(speed, "choose_device", lambda _: torch.device("meta"))
    monkeypatch.setattr(speed, "choose_dtype", lambda *_: (torch.float32, ""))
    with pytest.raises(ValueError, match="device is meta; engines are compared on the CPU"):
        run_benchmark(*SMALL, "models=['slow width=4']")
