import shutil

import pytest
import torch
from broken_files import damage_packet, empty
from small_data import make_module
from touched_file import touch, touch_levels

from gcvideo.data import (
    TrainingVideos,
    VideoSplits,
    annotated_videos,
    read_annotations,
)
from gcvideo.data.loading import _source as source
from gcvideo.data.loading._source import real_files
from gcvideo.data.video._frame_index import index_path, index_video, write_index


def test_a_folder_without_a_val_list_is_divided_by_class(video_folder):
    splits = annotated_videos(root=str(video_folder), val_fraction=0.5)
    assert splits.classes == ("dark", "light")
    assert sorted(splits.val.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert not {*splits.train.paths} & {*splits.val.paths}
    assert splits.test is splits.val
    assert splits.is_drawn


def test_a_test_list_alone_leaves_nothing_to_train_on(video_folder):
    splits = annotated_videos(root=str(video_folder), test=str(video_folder))
    assert (len(splits.train), len(splits.test)) == (0, 12)


def test_flip_pairs_give_the_labels_of_mirrored_videos(video_folder):
    splits = annotated_videos(root=str(video_folder), flip_pairs=[["dark", "light"]])
    assert splits.swapped_labels == {0: 1, 1: 0}
    with pytest.raises(ValueError, match="flip_pairs names 'lift', which is not a class"):
        annotated_videos(root=str(video_folder), flip_pairs=[["dark", "lift"]])


def test_a_list_of_classes_is_looked_for_in_the_root_then_in_the_working_folder(
    video_folder, tmp_path, monkeypatch
):
    root = shutil.copytree(video_folder, tmp_path / "root")
    (root / "names.txt").write_text("light\ndark\n")
    monkeypatch.chdir(tmp_path)
    assert annotated_videos(root="root", classes="names.txt").classes == ("light", "dark")
    assert annotated_videos(root="root", classes="root/names.txt").classes == ("light", "dark")
    with pytest.raises(FileNotFoundError, match=r"other\.txt"):
        annotated_videos(root="root", classes="other.txt")


def test_a_missing_root_is_named():
    with pytest.raises(FileNotFoundError, match=r"data\.root is '/no/such', which is not a folder"):
        annotated_videos(root="/no/such")


def test_splits_with_other_classes_are_refused(video_folder):
    train = read_annotations(video_folder, root=video_folder)
    other = read_annotations(video_folder, root=video_folder, classes=["dark", "light", "dusk"])
    with pytest.raises(ValueError, match=r"the val split has the classes \[dark, light, dusk\]"):
        VideoSplits(train, other, train)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"max_bad_fraction": 1.0},
            r"max_bad_fraction is 1\.0; a share .* lies in \[0, 1\): try 0\.01",
        ),
        ({"time_budget_seconds": 0}, "time_budget_seconds is 0; give a number of seconds above 0"),
    ],
)
def test_limits_out_of_range_are_refused(video_folder, changes, message):
    with pytest.raises(ValueError, match=message):
        annotated_videos(root=str(video_folder), **changes)


def test_a_frame_index_that_is_not_there_is_named(video_folder):
    with pytest.raises(
        FileNotFoundError, match=r"data\.index is '/no/such', which is not a file; make"
    ):
        annotated_videos(root=str(video_folder), index="/no/such")


def test_the_frame_index_of_the_root_is_found_and_changes_nothing_that_is_shown(
    video_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("GCVIDEO_CACHE", str(tmp_path / "cache"))
    root = shutil.copytree(video_folder, tmp_path / "videos")
    plain = annotated_videos(root=str(root))
    assert plain.index is None
    empty(root / "dark" / "dark_2.mp4")
    damage_packet(root / "dark" / "dark_3.mp4")
    damage_packet(root / "light" / "light_3.mp4", number=0)
    listed = read_annotations(root, root=root)
    entries = [index_video(listed.paths[i], listed.path(i)) for i in range(len(listed))]
    write_index(index_path(root), entries)
    indexed = annotated_videos(root=str(root))
    assert indexed.index is not None
    named = annotated_videos(root=str(root), index=str(index_path(root)))
    assert named.index is not None
    assert named.index.path == indexed.index.path == index_path(root)

    asked = []
    find = type(indexed.index).find
    monkeypatch.setattr(
        type(indexed.index), "find", lambda self, *given: asked.append(given) or find(self, *given)
    )

    def items(splits):
        videos = make_module(splits).train_dataloader().dataset
        assert isinstance(videos, TrainingVideos)
        return [videos[0, video] for video in range(len(videos))]

    expected = items(plain)
    assert not asked
    found = items(indexed)
    assert len(asked) >= 10
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours["views"], theirs["views"])
        assert ours["video"] == theirs["video"]
        assert ours["problems"] == theirs["problems"]
    assert sum(len(item["problems"]) for item in found) >= 2


@pytest.fixture
def linked_root(tmp_path):
    touch_levels(tmp_path, ["a", "b"])
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "2.mp4").symlink_to(tmp_path / "a" / "1.mp4")
    return tmp_path


def write(root, **lists):
    for name, rows in lists.items():
        (root / f"{name}.txt").write_text(rows.replace(",", "\n") + "\n")
    return {"root": str(root), "classes": ["a", "b"]} | {name: f"{name}.txt" for name in lists}


def test_training_files_in_another_split_are_counted(linked_root):
    given = write(
        linked_root,
        train="a/0.mp4 0,a/1.mp4 0,b/0.mp4 1",
        val="link/0.mp4 0,b/1.mp4 1,b/2.mp4 0",
        test=f"b/1.mp4 1,{linked_root}/b/0.mp4 1",
    )
    with pytest.warns(UserWarning, match="are training videos too") as caught:
        annotated_videos(**given)
    first, second = (str(warning.message) for warning in caught)
    assert first.startswith("2 of 3 videos of val are training videos too, such as 'link/0.mp4'")
    assert second.startswith("1 of 2 videos of test are training videos too")


def test_files_listed_again_are_counted(linked_root):
    given = write(linked_root, train="a/0.mp4 0,a/0.mp4 0,./a/0.mp4 1,b/0.mp4 1", val="b/1.mp4 1")
    with pytest.warns(UserWarning, match=r"2 of 4 videos of train are .* 1 of them under another"):
        annotated_videos(**given)


@pytest.mark.filterwarnings("ignore:.* are listed again")
def test_a_drawn_split_with_one_file_in_two_classes_is_warned_of(tmp_path):
    touch(tmp_path, *(f"{name}/{number}.mp4" for name in "ab" for number in range(20)))
    (tmp_path / "b" / "more").symlink_to(tmp_path / "a")
    with pytest.warns(UserWarning, match="are training videos too") as caught:
        splits = annotated_videos(root=str(tmp_path), val_fraction=0.5)
    said = next(
        str(w.message) for w in caught if "of val are training videos too" in str(w.message)
    )
    shared = {*real_files(splits.val)} & {*real_files(splits.train)}
    assert shared
    assert said.startswith(f"{sum(file in shared for file in real_files(splits.val))} of 30 ")


def test_of_long_lists_links_of_folders_alone_are_resolved(linked_root, monkeypatch):
    write(linked_root, all="link/0.mp4 0,b/2.mp4 1")
    listed = read_annotations("all.txt", root=linked_root)
    assert real_files(listed) == [
        str(linked_root.resolve() / name) for name in ("a/0.mp4", "a/1.mp4")
    ]
    monkeypatch.setattr(source, "LONG_LIST", 1)
    assert real_files(listed) == [
        str(linked_root.resolve() / name) for name in ("a/0.mp4", "b/2.mp4")
    ]


def test_splits_without_repeats_say_nothing(linked_root):
    annotated_videos(**write(linked_root, train="a/0.mp4 0,b/0.mp4 1", val="b/1.mp4 1,a/1.mp4 0"))
