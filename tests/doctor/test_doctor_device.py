import warnings

import pytest
import torch
from finding_check import assert_is

from gcvideo.doctor import _device as device

GIB = 2**30


def test_a_driver_without_a_usable_gpu_fails_with_what_it_says(monkeypatch, tmp_path):
    def unavailable():
        warnings.warn("the driver is too old", UserWarning, stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    monkeypatch.setattr(device, "_DRIVER_FILES", (tmp_path / "none",))
    assert_is(device.check_gpu(), "ok", "training runs on the processor")
    monkeypatch.setattr(device, "_DRIVER_FILES", (tmp_path / "none", tmp_path))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert_is(device.check_gpu(), "fail", "no GPU: the driver is too old; compare `nvidia-smi`")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert_is(
        device.check_gpu(), "fail", "built without CUDA; install torch and torchvision for CUDA"
    )


def test_a_gpu_is_listed_with_its_memory_or_fails_where_it_does_not_compute(monkeypatch):
    real_ones = torch.ones
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU{index}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (30 * GIB, 40 * GIB))
    monkeypatch.setattr(torch, "ones", lambda size, device: real_ones(size))
    assert_is(device.check_gpu(), "ok", "cuda:0 GPU0, 30 of 40 GiB free; cuda:1 GPU1, 30 of 40 GiB")
    monkeypatch.setattr(torch, "ones", lambda size, device: real_ones(size - 1))
    assert_is(device.check_gpu(), "fail", "adds 1000 ones to 999; it is defective: leave it out")

    def full(size, device):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nlong advice")

    monkeypatch.setattr(torch, "ones", full)
    assert_is(
        device.check_gpu(), "fail", "GPU0 does not compute: CUDA out of memory.; see in `nvidia"
    )


@pytest.mark.gpu
def test_the_gpu_of_this_machine_computes():
    assert_is(device.check_gpu(), "ok", "cuda:0", "GiB free")


def test_missing_back_ends_fail_where_they_are_needed(monkeypatch):
    monkeypatch.setattr(device.dist, "is_nccl_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert_is(device.check_nccl(), "ok", "not built in, 1 GPUs")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert_is(device.check_nccl(), "fail", "4 GPUs", "train on one with trainer.devices=1")
    monkeypatch.setattr(device.dist, "is_gloo_available", lambda: False)
    assert_is(device.check_gloo(True), "fail", "without gloo", "install torch's wheel")


def test_two_processes_add_their_numbers():
    assert_is(device.check_gloo(True), "ok", "two processes added")


def test_processes_that_cannot_add_fail_with_the_reason(monkeypatch):
    monkeypatch.setattr(device, "_add", divmod)
    texts = ("could not add their numbers: TypeError: unsupported", "GLOO_SOCKET_IFNAME=lo")
    assert_is(device.check_gloo(True), "fail", *texts)


def test_processes_that_hang_are_ended_in_time(monkeypatch):
    monkeypatch.setattr(device, "_TIME_LIMIT_SECONDS", 0.3)
    assert_is(device.check_gloo(True), "fail", "no answer within 0.3 s", "/etc/hosts")


@pytest.mark.parametrize(
    ("best", "slowdown", "status", "texts"),
    [
        ("32-true", 0.5, "warn", ("emulated on this", "leave trainer.precision=auto, which takes")),
        ("bf16-mixed", 0.5, "ok", ("3-D convolution takes 0.50 of its time in 32 bits",)),
        (
            "bf16-mixed",
            3.8,
            "warn",
            ("takes 3.80 of its time", "; update PyTorch; until then, layout=auto runs"),
        ),
    ],
)
def test_bf16_is_told_to_be_there_emulated_or_slow(monkeypatch, best, slowdown, status, texts):
    monkeypatch.setattr("gcvideo.command._device.best_precision", lambda _: best)
    name = "gcvideo.models._convolution_check.convolution_slowdown"
    monkeypatch.setattr(name, lambda *_: slowdown)
    assert_is(device.check_bf16(), status, *texts)
