import pytest

from gcvideo.doctor import _precision as precision


@pytest.mark.parametrize(
    ("has_bf16", "slowdown", "status", "finding", "remedy"),
    [
        (
            False,
            0.5,
            "warn",
            "emulated on this",
            "leave trainer.precision=auto, which takes 32-true",
        ),
        (True, 0.5, "ok", "3-D convolution takes 0.50 of its time in 32 bits", ""),
        (
            True,
            3.8,
            "warn",
            "takes 3.80 of its time",
            "update PyTorch; layout=auto runs them as 2-D",
        ),
    ],
)
def test_bf16_is_told_to_be_there_emulated_or_slow(
    monkeypatch, has_bf16, slowdown, status, finding, remedy
):
    name = "bf16-mixed" if has_bf16 else "32-true"
    monkeypatch.setattr(precision, "best_precision", lambda _: name)
    monkeypatch.setattr(precision, "convolution_slowdown", lambda *_: slowdown)
    found = precision.check_bf16()
    assert found.status == status
    assert finding in found.finding
    assert found.remedy.startswith(remedy)
    assert bool(found.remedy) == bool(remedy)
