import csv
import json
import os
import shutil
import signal
from multiprocessing import get_context

import pytest
from broken_files import UNREADABLE, damage_packet
from small_protocol import make_protocol

from gcvideo.command import _readability as readability
from gcvideo.command import _testing as testing
from gcvideo.command._user_error import user_error
from gcvideo.command.train._training import train
from gcvideo.data import (
    EvaluationVideos,
    annotated_videos,
    index_path,
    index_video,
    read_annotations,
    write_index,
)
from gcvideo.data._parallel import parallel_map
from gcvideo.data.loading._failure import BadVideosError


@pytest.fixture(scope="module")
def folders(video_folder, tmp_path_factory):
    """A list of 40 training videos, all good, and the same list with 4 unreadable and 1 damaged."""
    roots = {name: tmp_path_factory.mktemp(name) for name in ("good", "bad")}
    for root in roots.values():
        for name in ("dark", "light"):
            shutil.copytree(video_folder / name, root / "val" / name)
            (root / "videos").mkdir(exist_ok=True)
            for number in range(20):
                source = video_folder / name / f"{name}_{number % 6}.mp4"
                shutil.copy(source, root / "videos" / f"{name}_{number:02d}.mp4")
        lines = [
            f"videos/{path.name} {label}\n"
            for label, name in enumerate(("dark", "light"))
            for path in sorted((root / "videos").glob(f"{name}_*.mp4"))
        ]
        (root / "train.txt").write_text("".join(lines))
    broken = ("dark_07", "dark_13", "light_11", "light_19")
    for breaking, name in zip(UNREADABLE, broken, strict=True):
        breaking(roots["bad"] / "videos" / f"{name}.mp4")
    damage_packet(roots["bad"] / "videos" / "light_15.mp4", number=1)
    roots["broken"] = {str(roots["bad"] / "videos" / f"{name}.mp4") for name in broken}
    return roots


@pytest.fixture
def train_on(compose_config, tiny, tmp_path, folders):
    """Train on the good or the bad list; results.json and the rows of bad_videos.csv."""

    def run_training(name, folder, *overrides):
        data = ["data=folder", f"data.root={folders[name]}", "data.train=train.txt"]
        out = tmp_path / folder
        given = ["model=c2d", *data, "data.classes=[dark,light]", f"output_dir={out}"]
        train(compose_config("train", [*tiny, *given, *overrides]))
        return json.loads((out / "results.json").read_text()), read_table(out)

    return run_training


def read_table(folder):
    path = folder / "bad_videos.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_run_with_few_bad_videos_ends_like_one_without_and_lists_exactly_them(
    train_on, folders, capsys
):
    good, none = train_on("good", "good")
    assert none == []
    assert good["bad_videos"] == {"unreadable": 0, "damaged": 0}
    capsys.readouterr()
    bad, rows = train_on("bad", "bad", "data.max_bad_fraction=0.12")
    assert "no frame index" in capsys.readouterr().out
    assert bad["steps"] == good["steps"] == 10
    assert {row["path"] for row in rows if row["status"] == "unreadable"} == folders["broken"]
    assert bad["bad_videos"]["unreadable"] == 4
    (damaged,) = (row for row in rows if row["status"] == "damaged")
    assert damaged["path"].endswith("light_15.mp4")
    assert damaged["damaged_packets"] == "1"
    again, rows_again = train_on(
        "bad", "again", "data.max_bad_fraction=0.12", "num_workers=2", "callbacks=none"
    )
    assert rows_again == rows
    assert again["metrics"]["last_train_loss_epoch"] == bad["metrics"]["last_train_loss_epoch"]


@pytest.mark.slow
def test_a_run_with_too_many_bad_videos_stops_with_the_list(train_on, folders, tmp_path):
    with pytest.raises(BadVideosError) as caught:
        train_on("bad", "run", "data.max_bad_fraction=0.08")
    message = user_error(caught.value)
    assert message is not None
    assert "4 of 40 training videos cannot be read so far: 10.00%, above max_bad" in message
    assert "raise data.max_bad_fraction" in message
    unreadable = {r["path"] for r in read_table(tmp_path / "run") if r["status"] == "unreadable"}
    assert unreadable == folders["broken"]
    assert all(f"  {path}: " in message for path in unreadable)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_test_stops_with_the_list_of_all_unreadable_videos(
    compose_config, tmp_path, checkpoint, folders, num_workers, monkeypatch
):
    # Starting processes of its own takes longer than all else here; they have tests of their own.
    monkeypatch.setattr(
        readability,
        "parallel_map",
        lambda *args, **given: parallel_map(*args, **given | {"num_workers": 0}),
    )
    data = ["data=folder", f"data.root={folders['bad']}", "data.test=train.txt"]
    given = [f"checkpoint={checkpoint}", f"output_dir={tmp_path}", f"num_workers={num_workers}"]
    cfg = compose_config(
        "test", [*given, *data, "trainer=cpu", "trainer.enable_progress_bar=false"]
    )
    with pytest.raises(BadVideosError) as caught:
        testing.test(cfg)
    message = user_error(caught.value)
    assert message is not None
    assert "of 40 test videos cannot be read, so no score would describe the whole list" in message
    rows = read_table(tmp_path)
    assert folders["broken"] <= {row["path"] for row in rows}
    assert len(rows) <= 5
    assert all(f"  {row['path']}: {row['reason']}" in message for row in rows)
    assert not (tmp_path / "scores.csv").exists()
    assert not (tmp_path / "results.json").exists()


def index_val(root, **given):
    classes = ["dark", "light"]
    val = annotated_videos(root=str(root), train="train.txt", classes=classes, **given).val
    entries = [index_video(val.paths[i], val.path(i)) for i in range(len(val))]
    write_index(index_path(root), entries)


@pytest.mark.slow
def test_unreadable_videos_in_val_end_a_training_before_it_starts(
    train_on, folders, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("GCVIDEO_CACHE", str(tmp_path / "cache"))
    val = shutil.copytree(folders["good"] / "val", tmp_path / "val")
    (val / "dark" / "empty.mp4").touch()
    (val / "light" / "page.mp4").write_bytes(b"<!DOCTYPE html>")
    for _ in range(2):
        with pytest.raises(BadVideosError) as caught:
            train_on("good", "run", f"data.val={val}")
        message = str(caught.value)
        assert "2 of 14 validation videos cannot be read, so no score" in message
        assert "empty.mp4: the file is empty" in message
        assert "page.mp4: it looks like an HTML page, not a video" in message
        assert len(read_table(tmp_path / "run")) == 2
        assert "epoch 1/" not in capsys.readouterr().out
        # Once more, now with an index that knows.
        index_val(folders["good"], val=str(val))


@pytest.mark.slow
def test_videos_that_the_index_knows_are_not_opened_before_a_training(
    train_on, folders, tmp_path, monkeypatch
):
    monkeypatch.setenv("GCVIDEO_CACHE", str(tmp_path / "cache"))
    opened = []
    monkeypatch.setattr(readability, "probe", opened.append)
    train_on("good", "scanned", "trainer.limit_train_batches=1")
    assert len(opened) == 12
    index_val(folders["good"])
    opened.clear()
    train_on("good", "indexed", "trainer.limit_train_batches=1")
    assert not opened


@pytest.mark.slow
def test_a_validation_video_that_hangs_is_named_and_its_process_killed(
    video_folder, tmp_path, monkeypatch
):
    def probe(path):
        if path.endswith("dark_1.mp4"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            (tmp_path / "pid").write_text(str(os.getpid()))
            while True:
                pass

    monkeypatch.setattr(readability, "probe", probe)
    monkeypatch.setattr(readability, "_WORTH_PROCESSES", 1)
    monkeypatch.setattr("gcvideo.data._parallel._PROCESSES", get_context("fork"))
    videos = EvaluationVideos(
        read_annotations(video_folder, root=video_folder),
        protocol=make_protocol(),
        time_budget_seconds=1.0,
    )
    (problem,) = readability.unopenable_videos(videos, 1)
    assert problem.path.endswith("dark_1.mp4")
    assert (
        problem.reason
        == "it was not read within its budget of 1 seconds, and its process was killed"
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
