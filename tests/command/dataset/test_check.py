import csv
import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from corner_video import MATRICES, write_corners

from gcvideo.command.dataset import _checking as checking
from gcvideo.command.dataset import _work as work
from gcvideo.command.dataset._checking import check
from gcvideo.data import annotated_videos, read_annotations, read_classes
from gcvideo.data._process_error import ProcessDiedError

CLASSES = ("dark", "light")
BROKEN = {"train": "dark/empty.mp4", "val": "light/page.mp4"}


@pytest.fixture
def root(tmp_path, video_folder):
    """Training and validation folders with six videos each, all of them readable."""
    root = tmp_path / "videos"
    for split, numbers in (("train", (0, 1, 2)), ("val", (3, 4, 5))):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for number in numbers:
                file = f"{name}_{number}.mp4"
                shutil.copy(video_folder / name / file, root / split / name / file)
    return root


@pytest.fixture
def run_check(compose_config, root, tmp_path, monkeypatch):
    """Runs the command without further processes; also the files that were decoded."""
    monkeypatch.chdir(tmp_path)
    decoded = []
    real = checking.check_video

    def counted(path, **settings):
        decoded.append(str(Path(path).relative_to(root)))
        return real(path, **settings)

    monkeypatch.setattr(checking, "check_video", counted)

    def run(*words):
        decoded.clear()
        given = ["data=folder", f"data.root={root}", "num_workers=0"]
        return check(compose_config("check", [*given, *words])), sorted(decoded)

    return run


def table(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def damage(file):
    content = bytearray(file.read_bytes())
    middle = content.find(b"mdat") + len(content) // 3
    content[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    file.write_bytes(content)


def test_readable_videos_pass_and_the_folder_tells_all(run_check, root, tmp_path, capsys):
    report, decoded = run_check()
    assert not report.problems
    assert len(decoded) == 12
    folder = tmp_path / "checks" / "videos"
    assert report.folder.resolve() == folder
    splits = annotated_videos(root=str(root))
    rows = table(folder / "videos.csv")
    assert [row["path"] for row in rows] == [*splits.train.paths, *splits.val.paths]
    for row in rows:
        # 20 frames at 30 frames per second.
        assert (row["status"], row["num_frames"], row["width"]) == ("ok", "20", "64")
        assert float(row["duration_seconds"]) == pytest.approx(2 / 3)
    assert table(folder / "bad_videos.csv") == []
    assert (folder / "histograms.png").stat().st_size > 5000
    assert json.loads((folder / "check.json").read_text()) == {"root": str(root)}
    assert {file.name for file in folder.iterdir()} == {
        *("videos.csv", "bad_videos.csv", "train.txt", "val.txt", "classes.txt"),
        *("histograms.png", "journal.jsonl", "check.json"),
    }
    printed = capsys.readouterr().out
    assert "12 videos: 12 ok, 0 damaged, 0 unreadable" in printed
    lines = [line.split() for line in printed.splitlines()]
    for title, value in (("duration (s)", "0.67"), ("frame size (px)", "64x48")):
        assert lines[lines.index(title.split()) + 1][:2] == [value, "12"]


def test_the_clean_lists_lack_the_unreadable_and_keep_the_labels(run_check, root, tmp_path):
    (root / "train" / BROKEN["train"]).write_bytes(b"")
    (root / "val" / BROKEN["val"]).write_text("<html>404</html>")
    damage(root / "train" / "light" / "light_1.mp4")
    report, _ = run_check("output_dir=out")
    bad = {row["path"]: row for row in table(tmp_path / "out" / "bad_videos.csv")}
    assert {path: row["status"] for path, row in bad.items()} == {
        "train/dark/empty.mp4": "unreadable",
        "val/light/page.mp4": "unreadable",
        "train/light/light_1.mp4": "damaged",
    }
    assert int(bad["train/light/light_1.mp4"]["damaged_packets"]) > 0
    assert bad["val/light/page.mp4"]["reason"] == "it looks like an HTML page, not a video"
    source = annotated_videos(root=str(root))
    classes = read_classes("out/classes.txt")
    assert classes == CLASSES
    for split in ("train", "val"):
        clean = read_annotations(f"out/{split}.txt", root=root, classes=classes)
        whole = getattr(source, split)
        expected = dict(zip(whole.paths, whole.labels.tolist(), strict=True))
        del expected[f"{split}/{BROKEN[split]}"]
        assert dict(zip(clean.paths, clean.labels.tolist(), strict=True)) == expected
    assert report.problems == (
        "1 of 7 training videos cannot be read, 14.29%, above data.max_bad_fraction = 1.00%: "
        "training would stop",
        "1 of 7 val videos cannot be read: the metrics would not be those of the list",
    )
    run_check("output_dir=out", "drop_damaged=true")
    assert "light_1" not in Path("out/train.txt").read_text()
    assert len(Path("out/train.txt").read_text().splitlines()) == 5


def test_few_unreadable_training_videos_are_no_problem(run_check, root):
    (root / "train" / BROKEN["train"]).write_bytes(b"")
    assert run_check("data.max_bad_fraction=0.142")[0].problems
    report, _ = run_check("data.max_bad_fraction=0.143")
    assert not report.problems
    assert report.checks["train/dark/empty.mp4"].status == "unreadable"


def test_a_second_check_decodes_only_what_is_new_changed_or_unreadable(run_check, root, tmp_path):
    broken = root / "train" / BROKEN["train"]
    broken.write_bytes(b"")
    first, decoded = run_check()
    assert len(decoded) == 13
    changed = root / "val" / "dark" / "dark_3.mp4"
    os.utime(changed, ns=(1, 1))
    shutil.copy(changed, root / "train" / "dark" / "new.mp4")
    second, decoded = run_check()
    assert decoded == ["train/dark/empty.mp4", "train/dark/new.mp4", "val/dark/dark_3.mp4"]
    assert {path: second.checks[path] for path in first.checks} == first.checks
    assert len(table(tmp_path / "checks" / "videos" / "videos.csv")) == 14


def test_an_interrupted_check_goes_on_where_it_was(run_check, root, tmp_path, monkeypatch):
    counted, calls = checking.check_video, []

    def interrupted(path, **settings):
        calls.append(path)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return counted(path, **settings)

    monkeypatch.setattr(checking, "check_video", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_check()
    journal = tmp_path / "checks" / "videos" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])
    report, decoded = run_check()
    assert len(decoded) == 12 - 4
    assert {found.num_frames for found in report.checks.values()} == {20}


def test_a_test_split_of_its_own_gets_its_own_list(run_check, root, tmp_path):
    (root / "test.csv").write_text(
        "path,label\nval/dark/dark_3.mp4,dark\nval/light/light_4.mp4,light\n"
    )
    folder = tmp_path / "checks" / "videos"
    splits = [f"data.{name}={root}/{name}" for name in ("train", "val")]
    _, decoded = run_check(f"data.test={root}/test.csv", *splits)
    assert len(decoded) == 12
    assert (folder / "test.txt").read_text() == "val/dark/dark_3.mp4 0\nval/light/light_4.mp4 1\n"
    run_check()
    assert not (folder / "test.txt").exists()


def test_a_test_split_alone_is_all_that_is_checked(run_check, root, tmp_path):
    (root / "test.csv").write_text(
        "path,label\nval/dark/dark_3.mp4,dark\nval/light/light_4.mp4,light\n"
    )
    report, decoded = run_check(f"data.test={root}/test.csv")
    assert decoded == ["val/dark/dark_3.mp4", "val/light/light_4.mp4"]
    assert [file.name for file in report.folder.glob("t*.txt")] == ["test.txt"]
    assert not (report.folder / "val.txt").exists()


def test_a_crashing_decoder_and_a_hanging_file_are_unreadable(run_check, monkeypatch):
    def crash(function, items, **_):
        yield 0, ProcessDiedError(repr(items[0]), -11)
        yield from ((i, function(items[i])) for i in range(1, len(items)))

    budgets, counted = set(), checking.check_video
    monkeypatch.setattr(work, "parallel_map", crash)
    monkeypatch.setattr(
        checking,
        "check_video",
        lambda path, **settings: (
            budgets.add(settings["time_budget_seconds"]) or counted(path, **settings)
        ),
    )
    report, _ = run_check("time_budget_seconds=7")
    assert budgets == {7}
    reason = report.checks["train/dark/dark_0.mp4"].reason
    assert reason.startswith("the decoder crashes on it: the process that worked on")
    assert len(report.checks) == 12


def test_a_folder_of_other_videos_is_refused(run_check, root, tmp_path):
    (tmp_path / "checks" / "videos").mkdir(parents=True)
    (tmp_path / "checks" / "videos" / "check.json").write_text('{"root": "/other"}')
    with pytest.raises(
        ValueError, match=r"contains results for \{'root': '/other'\}, not .*videos'\}; choose anot"
    ):
        run_check()


@pytest.mark.slow
def test_the_check_runs_with_worker_processes(compose_config, root, tmp_path):
    given = ["data=folder", f"data.root={root}", "num_workers=2", f"output_dir={tmp_path / 'out'}"]
    assert len(check(compose_config("check", given)).checks) == 12


def script(project, folder, *words):
    return subprocess.run(
        [sys.executable, project / "scripts" / "check.py", "data=folder", "num_workers=0", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_each_data_set_has_a_folder_of_its_own_named_after_it(project, video_folder, tmp_path):
    for name in ("first", "second"):
        for kind in CLASSES:
            (tmp_path / name / kind).mkdir(parents=True)
            for number in range(2):
                file = f"{kind}/{kind}_{number}.mp4"
                shutil.copy(video_folder / file, tmp_path / name / file)
        done = script(project, tmp_path, f"data.root={name}")
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "checks"}
    assert {path.name for path in (tmp_path / "checks").iterdir()} == {"first", "second"}


@pytest.mark.slow
@pytest.mark.parametrize("is_broken", [False, True])
def test_the_exit_code_tells_whether_the_videos_will_do(project, root, tmp_path, is_broken):
    if is_broken:
        (root / "val" / BROKEN["val"]).write_bytes(b"")
    done = script(project, tmp_path, f"data.root={root}")
    assert done.returncode == is_broken, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"videos", "checks"}


def test_unusual_pictures_are_counted(run_check, root, tmp_path, capsys):
    write_corners(root / "train/dark/pal.mp4", sample_aspect_ratio=Fraction(16, 11))
    write_corners(root / "val/dark/selfie.mp4", MATRICES["left to right"])
    report, _ = run_check()
    assert report.problems == ()
    shown = capsys.readouterr().out
    assert "unusual videos, listed in videos.csv:\n" in shown
    assert "  1 x  pixels of 16:11\n" in shown
    assert "  1 x  shown mirrored\n" in shown
    assert "1 of 14 videos are anamorphic: their pixels are oblong, and stay so; " in shown
    assert "with data.square_pixels=true they become square, as in players" in shown
    rows = {row["path"]: row for row in table(report.folder / "videos.csv")}
    assert rows["val/dark/selfie.mp4"]["remarks"] == "shown mirrored"
    assert rows["train/dark/pal.mp4"]["sample_aspect_ratio"] == "16:11"
    _, decoded = run_check("data.square_pixels=true")
    assert decoded == []  # the journal knows
    assert "their pixels are oblong, and are made square" in capsys.readouterr().out
