import importlib
import json
import resource
import shutil
from collections import namedtuple
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from finding_check import assert_is

import gcvideo
from gcvideo.doctor import Finding
from gcvideo.doctor import _decoder as decoder
from gcvideo.doctor import _device as device
from gcvideo.doctor import _installation as installation
from gcvideo.doctor import _limit as limit
from gcvideo.doctor.__main__ import main, run_check

GIB = 2**30
Usage = namedtuple("Usage", "total used free")
doctor = importlib.import_module("gcvideo.doctor.__main__")


def test_this_machine_passes_every_check_and_the_file_says_what_the_screen_says(tmp_path, capsys):
    path = tmp_path / "findings.json"
    assert main(["--quick", "--json", str(path)]) == 0
    rows, lines = json.loads(path.read_text()), capsys.readouterr().out.splitlines()
    assert list(tmp_path.iterdir()) == [path]
    assert len(rows) == len(lines) > 15
    for row, line in zip(rows, lines, strict=True):
        assert list(row) == ["check", "status", "finding", "remedy"]
        end = f"; {row['remedy']}" if row["remedy"] else ""
        assert line == f"{row['status']:4}  {row['check']}: {row['finding']}{end}"
    assert "ok    gloo: built in; not tried (--quick)" in lines


def test_a_check_that_crashes_fails_in_one_line_and_the_others_go_on(monkeypatch, capsys):
    def crash():
        raise OSError("[broken]\nin two lines")

    monkeypatch.setattr(installation, "check_python", crash)
    checks = (("python", "installation", "check_python"), ("none", "no_module", "check"))
    monkeypatch.setattr(doctor, "_CHECKS", (*checks, ("gcvideo", "installation", "check_gcvideo")))
    assert main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fail  python: OSError: [broken] in two lines; repair what")
    assert lines[1].startswith("fail  none: ModuleNotFoundError: No module named")
    assert lines[2].startswith("ok    gcvideo: ")


def test_a_warning_alone_does_not_fail(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_CHECKS", (("bf16", "device", "check_bf16"),))
    monkeypatch.setattr(device, "check_bf16", lambda: Finding("warn", "slow", "wait"))
    assert main([]) == 0
    assert capsys.readouterr().out == "warn  bf16: slow; wait\n"


def test_a_findings_file_that_cannot_be_written_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(doctor, "_CHECKS", ())
    assert main(["--json", str(tmp_path / "none" / "findings.json")]) == 1
    out = capsys.readouterr().out
    assert "cannot be written (No such file or directory); give --json another file" in out


def test_an_old_interpreter_fails(monkeypatch):
    monkeypatch.setattr(installation.platform, "python_version", lambda: "3.8.1")
    assert_is(
        installation.check_python(), "fail", "3.8.1, but gcvideo needs >=3.11; make an environment"
    )


def test_code_that_is_not_installed_or_newer_than_its_installation_is_told(monkeypatch):
    monkeypatch.setattr(gcvideo, "__version__", "99")
    assert_is(installation.check_gcvideo(), "warn", "99 in", "run `pip install -e .` again")

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "version", missing)
    assert_is(installation.check_gcvideo(), "fail", "is not installed; run `pip install -e .`")


def test_old_and_missing_packages_fail_with_the_command_that_brings_them(monkeypatch):
    needed = ["numpy>=99", "no-such-package>=2", "torch>=2.6", "onnx>=99; extra == 'export'"]
    monkeypatch.setattr(installation, "requires", lambda name: needed)
    finding = installation.check_packages()
    assert_is(finding, "fail", f"numpy is {np.__version__}, needed >=99; no-such-package is")
    assert finding.remedy == "run `pip install 'numpy>=99' 'no-such-package>=2'`"


def test_a_part_that_does_not_load_fails_with_its_exception(monkeypatch):
    monkeypatch.setitem(importlib.sys.modules, "gcvideo.command", None)
    texts = ("ModuleNotFoundError", "gcvideo.command", "--force-reinstall")
    assert_is(run_check("installation", "check_import"), "fail", *texts)


def test_torchvision_for_another_torch_fails(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "1.0")
    assert_is(installation.check_torch_build(), "fail", "different CUDA versions", "from one index")

    def not_implemented(*_):
        raise NotImplementedError("no kernel")

    monkeypatch.setattr(torchvision.ops, "nms", not_implemented)
    assert_is(installation.check_torch_build(), "fail", "do not run (no kernel)", "from one index")
    monkeypatch.setattr(torchvision.ops, "nms", lambda *_: torch.tensor([1]))
    assert_is(installation.check_torch_build(), "fail", "compute wrongly", "from one index")
    monkeypatch.setitem(importlib.sys.modules, "torchvision", None)
    assert_is(installation.check_torch_build(), "fail", "does not load with it", "from one index")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda read: read[::-1], "asked for frame"),
        (lambda read: 255 - read, "asked for frame"),
        (lambda read: read + np.uint8([[-6 % 256], [6]] * 32), "frames differ by 6.0 of 255"),
    ],
)
def test_a_decoder_that_gives_other_frames_or_pixels_fails(monkeypatch, change, text):
    class WrongReader(decoder.VideoReader):
        def read(self, indices, **options):
            return change(super().read(indices, **options))

    monkeypatch.setattr(decoder, "VideoReader", WrongReader)
    assert_is(decoder.check_decoder("h264"), "fail", text, "pip install --force-reinstall av")


def test_a_decoder_that_loses_frames_fails(monkeypatch):
    frames = decoder._clip()[:-2]
    written = decoder.write_video
    monkeypatch.setattr(decoder, "write_video", lambda path, _, **kw: written(path, frames, **kw))
    assert_is(
        decoder.check_decoder("h264"), "fail", "22 frames of 24 that were", "--force-reinstall"
    )


def test_a_codec_without_encoder_is_not_proven(monkeypatch):
    monkeypatch.setitem(decoder._CODECS, "av1", (("no_encoder", "nor_this"), ".mp4", {}))
    texts = ("no encoder (no_encoder or nor_this)", "decode your own videos with `gcvideo check`")
    assert_is(decoder.check_decoder("av1"), "warn", *texts)


def test_the_next_encoder_is_tried_where_the_first_is_missing(monkeypatch):
    monkeypatch.setitem(decoder._CODECS, "av1", (("no_encoder", "mpeg4"), ".avi", {"b": "4M"}))
    assert_is(decoder.check_decoder("av1"), "ok", "24 frames by mpeg4")


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000"}, "1.5"),
        ({"cpu.max": "max 100000", "job/cpu.max": "100000 50000"}, "2"),
        ({"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, "2.5"),
    ],
)
def test_a_quota_below_the_cores_is_told_with_the_workers_it_allows(
    monkeypatch, tmp_path, files, quota
):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "own").write_text("1:name=systemd:/other\n0::/job/step\n")
    monkeypatch.setattr(limit, "_CGROUP", tmp_path)
    monkeypatch.setattr(limit, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(limit.os, "sched_getaffinity", lambda _: set(range(64)))
    workers = int(float(quota)) if float(quota) >= 2 else 0
    texts = (f"quota allows only {quota};", f"num_workers={workers} (otherwise 8")
    assert_is(limit.check_processor(), "warn", *texts)
    monkeypatch.setattr(limit.os, "sched_getaffinity", lambda _: {0})
    assert_is(limit.check_processor(), "ok", "1 of ")


@pytest.mark.parametrize(("free", "cores"), [(0.06, 1), (3, 64)])
def test_little_shared_memory_is_told(monkeypatch, free, cores):
    monkeypatch.setattr(limit, "_SHARED_MEMORY", Path("/"))
    monkeypatch.setattr(limit, "_LARGE_BATCH", (64, 32, 224))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(4 * GIB, 0, int(free * GIB)))
    texts = (f"{free:.2f} of 4.00 GiB free", "--shm-size=8g or --ipc=host", "need about")
    assert_is(limit.check_shared_memory(), "warn", *texts)


def test_a_system_without_shared_memory_folder_has_no_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(limit, "_SHARED_MEMORY", tmp_path / "none")
    assert_is(limit.check_shared_memory(), "ok", "no ")


def test_a_low_limit_on_open_files_is_told(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert_is(limit.check_open_files(), "warn", "at most 256", "'too many open", "`ulimit -n 4096`")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert_is(limit.check_open_files(), "ok", "at most any")
    monkeypatch.setattr(limit, "find_spec", lambda _: None)
    assert_is(limit.check_open_files(), "ok", "sets no limit")


def test_folders_that_cannot_be_written_or_are_nearly_full_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("GCVIDEO_CACHE", str(tmp_path / "new" / "cache"))
    assert_is(limit.check_folder("GCVIDEO_CACHE"), "ok", "cache is writable")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(limit.tempfile, "gettempdir", lambda: str(tmp_path))
    assert_is(limit.check_folder("TMPDIR"), "ok", f"{tmp_path} is writable")
    with monkeypatch.context() as changed:
        changed.setattr(shutil, "disk_usage", lambda _: Usage(GIB, GIB // 2, GIB // 2))
        assert_is(
            limit.check_folder("GCVIDEO_CACHE"),
            "warn",
            "0.5 GiB free; free some space",
            "GCVIDEO_CACHE",
        )
        assert_is(
            limit.check_folder("TMPDIR"), "warn", "0.5 GiB free; free some space", "set TMPDIR"
        )
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv("GCVIDEO_CACHE", str(file))
    texts = ("file cannot be written to (Not a directory)", "set GCVIDEO_CACHE to another")
    assert_is(limit.check_folder("GCVIDEO_CACHE"), "fail", *texts)
