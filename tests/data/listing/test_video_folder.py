import os
import sys

import pytest
from touched_file import touch, touch_levels

from gcvideo.data import (
    VIDEO_SUFFIXES,
    VideoReadError,
    annotated_videos,
    read_annotations,
    read_frames,
)
from gcvideo.data.listing._video_folder import find_videos, held_out_source, split_name


@pytest.fixture
def root(tmp_path):
    return touch(
        tmp_path, *(f"{name}/{name[0]}{i}.mp4" for name in ("jump", "wave") for i in range(5))
    )


@pytest.mark.parametrize(
    "added",
    [
        ["wave/._w0.mp4", "jump/._j0.mp4", "__MACOSX/wave/._w0.mp4", "__MACOSX/wave/w0.mp4"],
        ["@eaDir/w0.mp4", "wave/@eaDir/w1.mp4/shot.mp4", "#recycle/w0.mp4"],
        [".ipynb_checkpoints/w0.mp4", "wave/.ipynb_checkpoints/w0.mp4", "wave/.hidden.mp4"],
        ["w1.mp4/w1.mp4", "wave/w9.mp4/shot.jpg", "wave/notes.txt", "wave/poster.jpg"],
        ["$RECYCLE.BIN/w0.mp4", "System Volume Information/w0.mp4", "lost+found/w0.mp4"],
    ],
)
def test_what_systems_leave_behind_is_neither_video_nor_class(root, added):
    touch(root, *added)
    found = read_annotations(root, root=root)
    assert (len(found), found.classes) == (10, ("jump", "wave"))
    assert [*found.paths] == sorted(found.paths)


def test_videos_lie_at_any_depth_in_order_of_their_parts(root):
    touch(root, "wave/b c/1.mp4", "wave/b/2.mp4", "wave/b/d/3.mp4", "wave/b.mp4")
    assert find_videos(root / "wave").paths[:4] == ["b/2.mp4", "b/d/3.mp4", "b c/1.mp4", "b.mp4"]


def test_linked_folders_are_followed_and_loops_are_not(root, tmp_path_factory):
    more = tmp_path_factory.mktemp("more")
    touch(more, "w6.mp4", "deep/w7.mp4", "w8.mp4")
    (root / "wave" / "more").symlink_to(more)
    (more / "again").symlink_to(more)
    (more / "deep" / "up").symlink_to(root)
    (root / "wave" / "self").symlink_to(root / "wave")
    found = read_annotations(root, root=root)
    assert len(found) == 13
    assert found.paths[-3:] == ("wave/w2.mp4", "wave/w3.mp4", "wave/w4.mp4")
    assert "wave/more/deep/w7.mp4" in found.paths


def test_a_folder_goes_by_its_own_name_and_not_by_a_link_to_it(root):
    touch(root, "wave/b/x.mp4")
    (root / "wave" / "a").symlink_to(root / "wave" / "b")
    found = find_videos(root / "wave")
    assert "b/x.mp4" in found.paths
    assert found.left_out == {"linked in a loop or twice": 1}


def test_a_link_to_nowhere_is_a_video_that_cannot_be_read(root):
    (root / "wave" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    assert "wave/gone.mp4" in read_annotations(root, root=root).paths


def test_a_link_with_the_ending_of_a_video_is_one_wherever_it_leads(root):
    touch(root, "wave/inner/x.mp4")
    (root / "jump" / "linked.mp4").symlink_to(root / "wave")
    assert find_videos(root / "jump").paths[-1] == "linked.mp4"
    with pytest.raises(VideoReadError, match="it is a folder; name a file"):
        read_frames(root / "jump" / "linked.mp4", [0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of the file system")
def test_a_pipe_is_no_video(root):
    os.mkfifo(root / "wave" / "pipe.mp4")
    assert find_videos(root / "wave").left_out == {"not a regular file": 1}


@pytest.mark.parametrize("suffix", ["asf", "VOB", "m2v", "gif", "dv", "3g2", "mxf", "nut", "f4v"])
def test_suffixes_that_ffmpeg_reads_are_videos(root, suffix):
    touch(root, f"clap/c.{suffix}")
    assert f".{suffix.lower()}" in VIDEO_SUFFIXES
    assert read_annotations(root, root=root).classes == ("clap", "jump", "wave")


def test_a_video_folder_without_a_video_is_named_with_what_was_left_out(root):
    touch(root, "clap/a.webp", "clap/b.WEBP", "clap/.c.mp4", "clap/notes", "jump/d.webp")
    (root / "empty").mkdir()
    with pytest.warns(UserWarning, match="left out") as caught:
        found = read_annotations(root, root=root)
    assert found.classes == ("jump", "wave")
    first, second = (str(warning.message).splitlines() for warning in caught)
    assert "without a video, which are not classes" in first[0]
    assert first[1:] == [
        "  clap: 2 .webp (FFmpeg does not read its animations), 1 hidden, 1 without a suffix",
        "  empty: empty",
    ]
    assert second[1:] == ["  jump: 1 .webp (FFmpeg does not read its animations)"]


def test_a_folder_without_any_video_says_what_lies_there(tmp_path):
    touch(tmp_path, "clap/a.webp", "wave/b.jpg")
    with pytest.raises(
        ValueError, match=r"no videos in .*left out are clap: 1 \.webp .*; wave: 1 \.jpg; put"
    ):
        read_annotations(tmp_path, root=tmp_path)
    touch(tmp_path, "loose.mp4")
    with pytest.raises(ValueError, match=r"has 1 videos but no class folders .* the folder above"):
        read_annotations(tmp_path, root=tmp_path)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="permissions that bind this user"
)
def test_a_folder_that_may_not_be_read_is_named(root):
    (root / "wave" / "closed").mkdir(mode=0)
    with pytest.warns(UserWarning, match="wave: 1 closed to this user"):
        read_annotations(root, root=root)


@pytest.mark.parametrize("names", [["train", "val"], ["Training", "TEST"], ["valid"]])
def test_folders_called_like_splits_are_no_classes(tmp_path, names):
    touch_levels(tmp_path, names, ["jump", "wave"])
    with pytest.raises(ValueError, match=f"{names[0]}.*named like splits, .* data.root="):
        read_annotations(tmp_path, root=tmp_path)


def test_classes_that_hold_splits_are_refused(tmp_path):
    touch_levels(tmp_path, ["jump", "wave"], ["train", "test"])
    with pytest.raises(ValueError, match=r"\(jump, wave\).*\(test, train\).* above the classes"):
        read_annotations(tmp_path, root=tmp_path)


def test_numbered_folders_that_hold_the_same_names_are_no_classes(tmp_path):
    touch_levels(tmp_path, ["subject1", "subject2", "subject3"], ["run", "walk"])
    with pytest.raises(ValueError, match=r"\(run, walk\): the inner ones look like the classes"):
        read_annotations(tmp_path, root=tmp_path)
    names = ["subject1", "subject2", "subject3"]
    assert len(read_annotations(tmp_path, root=tmp_path, classes=names)) == 12


def test_folders_that_hold_the_same_names_are_questioned(tmp_path):
    touch_levels(tmp_path, ["anna", "bob"], ["run", "walk"])
    with pytest.warns(UserWarning, match=r"\(anna, bob\) has the same folders \(run, walk\); gcv"):
        assert read_annotations(tmp_path, root=tmp_path).classes == ("anna", "bob")


@pytest.mark.parametrize("inner", [["subject1", "subject2"], ["videos"]])
def test_subjects_below_classes_are_as_they_should_be(tmp_path, inner):
    touch_levels(tmp_path, ["run", "walk"], inner)
    assert read_annotations(tmp_path, root=tmp_path).classes == ("run", "walk")


def test_a_root_one_level_too_high_names_the_right_one(tmp_path):
    touch_levels(tmp_path, ["ucf"], ["jump", "wave"])
    with pytest.raises(ValueError, match=r"has one folder, ucf, .* data\.root=.*ucf if"):
        read_annotations(tmp_path, root=tmp_path)


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "Train", "TRAIN", "training"]),
        ("val", ["val", "valid", "VALIDATION", "validate"]),
        ("test", ["test", "Testing"]),
        (None, ["trains", "evaluate", "wave", ""]),
    ],
)
def test_splits_go_by_several_names_in_any_case(split, names):
    assert {split_name(name) for name in names} == {split}


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("TRAIN", "Valid", "Testing"), ("training", "validation")]
)
def test_folders_of_splits_are_found(tmp_path, names):
    splits = annotated_videos(root=str(touch_levels(tmp_path, [*names], ["a", "b"])))
    for name, part in zip(names, (splits.train, splits.val, splits.test), strict=False):
        assert {path.split("/")[0] for path in part.paths} == {name}
    assert (splits.test is splits.val) == (len(names) == 2)
    assert splits.classes == ("a", "b")
    assert not splits.is_drawn


def test_a_given_val_serves_as_test_whatever_folders_there_are(tmp_path):
    touch_levels(tmp_path, ["train", "more", "test"], ["a", "b"])
    splits = annotated_videos(root=str(tmp_path), val="more")
    assert splits.test is splits.val


def test_a_class_without_folders_of_its_own_may_be_called_train(tmp_path):
    touch_levels(tmp_path, ["bus", "train"])
    assert annotated_videos(root=str(tmp_path)).classes == ("bus", "train")


def test_two_folders_of_one_split_are_refused_unless_one_is_named(tmp_path):
    root = touch_levels(tmp_path, ["train", "val", "validation"], ["a", "b"])
    with pytest.raises(ValueError, match=r"'val' and 'validation', .* with data\.val="):
        annotated_videos(root=str(root))
    assert annotated_videos(root=str(root), val="validation").val.paths[0] == "validation/a/0.mp4"


def test_a_root_with_a_test_alone_has_nothing_to_train_on(tmp_path):
    touch_levels(tmp_path, ["val", "test"], ["a", "b"])
    with pytest.raises(ValueError, match=r"has a folder .*but none called train; give data\.train"):
        annotated_videos(root=str(tmp_path))


def test_what_is_held_out_is_the_test_else_the_val_else_all(tmp_path):
    for folder, held_out in (("", "."), ("Valid", "Valid"), ("testing", "testing")):
        touch_levels(tmp_path, [folder], ["a", "b"])
        assert held_out_source(tmp_path) == str(tmp_path / held_out)
    assert held_out_source(tmp_path, ["testing"]) == str(tmp_path / "Valid")
