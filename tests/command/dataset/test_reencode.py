import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from gcvideo import cli
from gcvideo.command.dataset._reencoding import find_targets, reencode
from gcvideo.data import Annotations, annotated_videos, probe


def run_reencode(compose_config, root, output, *overrides):
    given = ["data=folder", f"data.root={root}", f"output={output}", "num_workers=0", *overrides]
    return reencode(compose_config("reencode", given))


def copied(output, **given):
    return annotated_videos(root=str(output), classes=str(output / "classes.txt"), **given)


def labels_by_name(annotations):
    names = (Path(path).with_suffix("").as_posix() for path in annotations.paths)
    return dict(zip(names, annotations.labels.tolist(), strict=True))


@pytest.fixture
def videos(video_folder, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(video_folder, tmp_path / "videos")


def test_the_copies_keep_splits_labels_and_classes(compose_config, video_folder, tmp_path):
    output = tmp_path / "small"
    settings = ("short_side=32", "gop_size=4", "num_workers=2")
    assert run_reencode(compose_config, video_folder, output, *settings).failures == {}
    old = annotated_videos(root=str(video_folder))
    new = copied(output, train="train.txt", val="val.txt")
    assert new.classes == old.classes
    for split in ("train", "val"):
        assert labels_by_name(getattr(new, split)) == labels_by_name(getattr(old, split))
    info = probe(new.train.path(0))
    assert (info.height, info.num_frames) == (32, 20)
    assert not (output / "test.txt").exists()
    assert not (output / "failed.csv").exists()


@pytest.mark.filterwarnings("ignore:.* videos of val are training videos too")
def test_a_test_split_of_its_own_gets_its_list_and_shared_videos_are_made_once(
    compose_config, videos, tmp_path, capsys
):
    (videos / "train.txt").write_text("dark/dark_0.mp4 0\nlight/light_0.mp4 1\n")
    (videos / "val.txt").write_text("dark/dark_0.mp4 0\nlight/light_1.mp4 1\n")
    (videos / "test.txt").write_text("dark/dark_2.mp4 0\nlight/light_1.mp4 1\n")
    lists = [f"data.{name}={name}.txt" for name in ("train", "val", "test")]
    run_reencode(compose_config, videos, tmp_path / "new", *lists)
    for name in ("train", "val", "test"):
        written = (tmp_path / "new" / f"{name}.txt").read_text()
        assert written == (videos / f"{name}.txt").read_text()
    assert (tmp_path / "new" / "classes.txt").read_text() == "dark\nlight\n"
    printed = capsys.readouterr().out
    assert "  4 made (" in printed
    assert "data.train=train.txt data.val=val.txt data.test=test.txt data.classes=" in printed


def test_a_second_run_makes_only_what_is_missing_or_older_than_its_source(
    compose_config, videos, tmp_path, capsys
):
    output = tmp_path / "new"
    run_reencode(compose_config, videos, output)
    made = sorted(output.rglob("*.mp4"))
    before = {path: path.stat().st_mtime_ns for path in made}
    made[0].unlink()
    newer = before[made[1]] / 1e9 + 10
    os.utime(videos / made[1].relative_to(output), (newer, newer))
    capsys.readouterr()
    run_reencode(compose_config, videos, output)
    after = {path: path.stat().st_mtime_ns for path in sorted(output.rglob("*.mp4"))}
    assert after.keys() == before.keys()
    assert [path for path in made if after[path] != before[path]] == made[:2]
    assert "2 made (" in (printed := capsys.readouterr().out)
    assert "10 already there, 0 failed" in printed


@pytest.mark.filterwarnings("ignore:.* videos of val are training videos too")
def test_broken_videos_are_reported_and_left_out_of_the_lists(
    compose_config, videos, tmp_path, capsys, project
):
    output = tmp_path / "new"
    broken = videos / "dark" / "dark_1.mp4"
    content = broken.read_bytes()
    broken.write_bytes(b"<html>404</html>")
    lists = [f"data.val={videos}", "data.train=."]
    failures = run_reencode(compose_config, videos, output, *lists).failures
    assert list(failures) == [str(broken)]
    with (output / "failed.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["path"] == str(broken)
    assert "looks like an HTML page" in row["reason"]
    assert "dark_1" not in (output / "train.txt").read_text() + (output / "val.txt").read_text()
    assert len((output / "val.txt").read_text().splitlines()) == 11
    printed = capsys.readouterr().out
    assert "11 made" in printed
    assert "1 failed" in printed
    assert "looks like an HTML page" in printed

    given = ["data=folder", f"data.root={videos}", f"output={output}", "num_workers=0", *lists]
    with pytest.raises(SystemExit) as ending:
        cli.main("reencode", given)
    assert ending.value.code == 1
    broken.write_bytes(content)
    cli.main("reencode", given)
    assert not (output / "failed.csv").exists()
    assert len((output / "val.txt").read_text().splitlines()) == 12


def test_many_failures_are_shown_in_part(compose_config, videos, tmp_path, capsys):
    for path in sorted(videos.rglob("*.mp4"))[1:]:
        path.write_bytes(b"")
    failures = run_reencode(compose_config, videos, tmp_path / "new").failures
    assert len(failures) == 11
    assert "and 1 more, see failed.csv" in capsys.readouterr().out


def test_a_folder_of_other_settings_is_not_mixed(compose_config, videos, tmp_path):
    run_reencode(compose_config, videos, tmp_path / "new")
    with pytest.raises(
        ValueError, match=r"contains results for .*'crf': 20.*, not .*'crf': 30.*choose another"
    ):
        run_reencode(compose_config, videos, tmp_path / "new", "crf=30")


def test_output_inside_the_videos_is_refused(compose_config, videos):
    for output in (videos, videos / "small"):
        with pytest.raises(ValueError, match=r"inside the folder of videos .* choose a folder out"):
            run_reencode(compose_config, videos, output)
    assert not (videos / "small").exists()


def listed(root, *paths):
    return Annotations(paths, np.zeros(len(paths), np.int64), ("a",), "list", str(root))


def test_two_videos_that_would_become_one_are_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"x/a.avi' and '.*x/a.mp4' would both become 'x/a.mp4'; rename one"
    ):
        find_targets([listed(tmp_path / "v", "x/a.avi", "x/a.mp4")], tmp_path / "new")


def test_one_video_under_two_spellings_is_one(tmp_path):
    root = tmp_path / "v"
    lists = [listed(root, "x/a.avi"), listed(root, "./x/a.avi", str(root / "y/../x/a.avi"))]
    assert find_targets(lists, tmp_path / "new") == {str(root / "x/a.avi"): "x/a.mp4"}


def test_videos_outside_the_root_keep_their_whole_path(tmp_path):
    lists = [listed(tmp_path / "v", "/data/x/1.avi", "/data/y/1.avi", "../w/1.avi")]
    assert list(find_targets(lists, tmp_path / "new").values()) == [
        "outside/data/x/1.mp4",
        "outside/data/y/1.mp4",
        f"outside{tmp_path}/w/1.mp4",
    ]


def test_a_video_is_never_written_over(tmp_path):
    lists = [listed(tmp_path / "v", "a.mp4", "../new/a.mp4")]
    with pytest.raises(
        ValueError, match=r"the copy of '.*v/a.mp4' would overwrite the video '.*new/a.mp4'"
    ):
        find_targets(lists, tmp_path / "new")


def test_paths_that_no_list_can_hold_are_refused(compose_config, videos, tmp_path):
    (videos / "dark/dark_0.mp4").rename(videos / "dark/a\nb.mp4")
    with pytest.raises(ValueError, match="has a line break"):
        run_reencode(compose_config, videos, tmp_path / "new")
