import errno
import io
import os
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from gcvideo.command import _output_check as output_check
from gcvideo.command import _preflight as preflight
from gcvideo.command._preflight import (
    OutputFolderError,
    batch_bytes,
    bytes_in_flight,
    check_output_folder,
    check_shared_memory,
    checkpoint_bytes,
)
from gcvideo.command._user_error import user_error
from gcvideo.models import slow_resnet

GIB = 2**30
Usage = namedtuple("Usage", "total used free")


def test_a_good_folder_is_made_and_left_empty(tmp_path):
    folder = tmp_path / "runs" / "first"
    check_output_folder(folder, num_bytes=1)
    check_output_folder(folder, num_bytes=1)
    assert folder.is_dir()
    assert not list(folder.iterdir())


def test_a_file_in_the_way_is_named(tmp_path):
    file = tmp_path / "run"
    file.write_text("")
    with pytest.raises(OutputFolderError, match=r"run' cannot be written to: a file is in the way"):
        check_output_folder(file, num_bytes=1)
    with pytest.raises(OutputFolderError, match=r"a part of the path is a file, not a folder"):
        check_output_folder(file / "below", num_bytes=1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputFolderError, match=r"this user may not write there; a run keeps"):
            check_output_folder(tmp_path, num_bytes=1)
        with pytest.raises(OutputFolderError, match=r"this user may not write there; a run keeps"):
            check_output_folder(tmp_path / "below", num_bytes=1)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, "this user may not write there"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_the_reason_why_no_file_can_be_made_is_told(monkeypatch, tmp_path, number, reason):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(output_check.tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(OutputFolderError, match=f"{reason}; .* choose another with hydra.run.dir="):
        check_output_folder(tmp_path, num_bytes=1)


def test_a_disk_that_is_full_only_when_the_file_is_synchronised_leaves_nothing(
    monkeypatch, tmp_path
):
    def fail(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputFolderError, match=r"no space is left on the file system"):
        check_output_folder(tmp_path, num_bytes=1)
    assert not list(tmp_path.iterdir())


def test_too_little_space_is_told_with_both_sizes(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(4 * GIB, 2 * GIB, 2 * GIB))
    check_output_folder(tmp_path, num_bytes=2 * GIB)
    with pytest.raises(OutputFolderError) as caught:
        check_output_folder(tmp_path, num_bytes=3 * GIB)
    assert str(caught.value) == (
        f"the output folder '{tmp_path}' has 2,048.0 MiB of free space, but the checkpoints of this run "
        "need at least 3,072.0 MiB; make room, or choose a folder on another disk with hydra.run.dir=..."
    )
    # A command prints it as one message.
    assert user_error(caught.value) == str(caught.value)


@pytest.mark.parametrize(("total", "free", "is_told"), [(1000, 3, True), (0, 0, False)])
def test_too_few_free_inodes_are_told_where_the_file_system_counts_them(
    monkeypatch, tmp_path, total, free, is_told
):
    space = {"f_blocks": 9, "f_bfree": 9, "f_bavail": 9, "f_frsize": 4096}
    status = SimpleNamespace(**space, f_files=total, f_favail=free)
    monkeypatch.setattr(os, "statvfs", lambda _: status)
    if not is_told:
        check_output_folder(tmp_path, num_bytes=1)
        return
    with pytest.raises(OutputFolderError, match=r"can take 3 more files .* hydra\.run\.dir=\.\.\."):
        check_output_folder(tmp_path, num_bytes=1)


@pytest.mark.parametrize(
    ("make", "num_moments"),
    [
        (lambda p: torch.optim.SGD(p, lr=0.1), 0),
        (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), 1),
        (lambda p: torch.optim.AdamW(p), 2),
    ],
    ids=["plain", "momentum", "adam"],
)
def test_the_estimate_is_the_size_of_files_that_torch_writes(make, num_moments):
    net = slow_resnet(num_classes=5, width=16)
    net.blocks[0].requires_grad_(False)
    optimizer = make([p for p in net.parameters() if p.requires_grad])
    for p in net.parameters():
        p.grad = torch.zeros_like(p) if p.requires_grad else None
    optimizer.step()
    state = {"net": net.state_dict(), "optimizer": optimizer.state_dict()}
    for ema in (False, True):
        if ema:
            state["ema"] = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        file = io.BytesIO()
        torch.save(state, file)
        estimate = checkpoint_bytes(net, num_moments=num_moments, has_ema=ema, num_kept=1)
        assert 0.9 < estimate / len(file.getvalue()) <= 1
        assert checkpoint_bytes(net, num_moments=num_moments, has_ema=ema) == 4 * estimate


def test_a_batch_of_views_has_the_bytes_of_its_tensor():
    assert batch_bytes(6, 4, 16) == torch.zeros(2, 3, 3, 4, 16, 16, dtype=torch.uint8).nbytes


class Counter:
    """Batches of one item each; counts how many were asked for."""

    def __init__(self):
        self.num_asked = 0

    def __iter__(self):
        for item in range(20):
            self.num_asked += 1
            yield [item]


@pytest.mark.parametrize("prefetch", [2, 3])
def test_batches_in_flight_are_what_a_loader_asks_for(prefetch):
    batches = Counter()
    loader = DataLoader(range(20), batch_sampler=batches, num_workers=2, prefetch_factor=prefetch)
    next(iter(loader))
    assert bytes_in_flight(10, 2, prefetch) == 10 * batches.num_asked


def test_little_shared_memory_is_told_before_workers_die(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "_SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(GIB, 0, GIB // 2))
    assert check_shared_memory(GIB // 10, num_workers=2) is None
    warning = check_shared_memory(GIB // 10, num_workers=4)
    assert warning is not None
    assert "has 0.50 GiB free, but 4 workers keep up to 0.90 GiB of views" in warning
    assert "--shm-size or --ipc=host, or lower num_workers or batch_size" in warning
    assert check_shared_memory(GIB // 10, num_workers=4, prefetch=1) is None
    assert check_shared_memory(GIB, num_workers=0) is None
    monkeypatch.setattr(preflight, "_SHARED_MEMORY", Path("/no such folder"))
    assert check_shared_memory(GIB, num_workers=4) is None
