from pathlib import Path

import pytest
from touched_file import touch, touch_levels

from gcvideo.data import annotated_videos
from gcvideo.data.listing._annotation import read_annotations
from gcvideo.data.loading import _source as source
from gcvideo.data.loading._source import real_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    touch_levels(tmp_path, ["a", "b"])
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "2.mp4").symlink_to(tmp_path / "a" / "1.mp4")
    return tmp_path


def write(root: Path, **lists: str) -> dict[str, str]:
    for name, rows in lists.items():
        (root / f"{name}.txt").write_text(rows.replace(",", "\n") + "\n")
    return {"root": str(root), "classes": ["a", "b"]} | {name: f"{name}.txt" for name in lists}


def test_training_files_in_another_split_are_counted(root: Path) -> None:
    given = write(
        root,
        train="a/0.mp4 0,a/1.mp4 0,b/0.mp4 1",
        val="link/0.mp4 0,b/1.mp4 1,b/2.mp4 0",
        test=f"b/1.mp4 1,{root}/b/0.mp4 1",
    )
    with pytest.warns(UserWarning, match="are training videos too") as caught:
        annotated_videos(**given)
    first, second = (str(warning.message) for warning in caught)
    assert first.startswith("2 of 3 videos of val are training videos too, such as 'link/0.mp4'")
    assert second.startswith("1 of 2 videos of test are training videos too")


def test_files_listed_again_are_counted(root: Path) -> None:
    given = write(root, train="a/0.mp4 0,a/0.mp4 0,./a/0.mp4 1,b/0.mp4 1", val="b/1.mp4 1")
    with pytest.warns(UserWarning, match=r"2 of 4 videos of train are .* 1 of them under another"):
        annotated_videos(**given)


@pytest.mark.filterwarnings("ignore:.* are listed again")
def test_a_drawn_split_with_one_file_in_two_classes_is_warned_of(tmp_path: Path) -> None:
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


def test_of_long_lists_links_of_folders_alone_are_resolved(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, all="link/0.mp4 0,b/2.mp4 1")
    listed = read_annotations("all.txt", root=root)
    assert real_files(listed) == [str(root.resolve() / name) for name in ("a/0.mp4", "a/1.mp4")]
    monkeypatch.setattr(source, "LONG_LIST", 1)
    assert real_files(listed) == [str(root.resolve() / name) for name in ("a/0.mp4", "b/2.mp4")]


def test_splits_without_repeats_say_nothing(root: Path) -> None:
    annotated_videos(**write(root, train="a/0.mp4 0,b/0.mp4 1", val="b/1.mp4 1,a/1.mp4 0"))
