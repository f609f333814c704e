import os
import sys
from pathlib import Path

import pytest

from gcvideo.data.listing._annotation import read_annotations
from gcvideo.data.listing._video_folder import VIDEO_SUFFIXES, find_videos


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    touch(tmp_path, *(f"{name}/{name[0]}{i}.mp4" for name in ("jump", "wave") for i in range(5)))
    return tmp_path


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
def test_what_systems_leave_behind_is_neither_video_nor_class(root: Path, added: list[str]) -> None:
    touch(root, *added)
    found = read_annotations(root, root=root)
    assert (len(found), found.classes) == (10, ("jump", "wave"))
    assert [*found.paths] == sorted(found.paths)


def test_videos_lie_at_any_depth_in_order_of_their_parts(root: Path) -> None:
    touch(root, "wave/b c/1.mp4", "wave/b/2.mp4", "wave/b/d/3.mp4", "wave/b.mp4")
    assert find_videos(root / "wave").paths[:4] == ["b/2.mp4", "b/d/3.mp4", "b c/1.mp4", "b.mp4"]


def test_linked_folders_are_followed_and_loops_are_not(root: Path, tmp_path_factory) -> None:
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


def test_a_folder_goes_by_its_own_name_and_not_by_a_link_to_it(root: Path) -> None:
    touch(root, "wave/b/x.mp4")
    (root / "wave" / "a").symlink_to(root / "wave" / "b")
    found = find_videos(root / "wave")
    assert "b/x.mp4" in found.paths
    assert found.left_out == {"linked in a loop or twice": 1}


def test_a_link_to_nowhere_is_a_video_that_cannot_be_read(root: Path) -> None:
    (root / "wave" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    assert "wave/gone.mp4" in read_annotations(root, root=root).paths


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of the file system")
def test_a_pipe_is_no_video(root: Path) -> None:
    os.mkfifo(root / "wave" / "pipe.mp4")
    assert find_videos(root / "wave").left_out == {"not a regular file": 1}


@pytest.mark.parametrize("suffix", ["asf", "VOB", "m2v", "gif", "dv", "3g2", "mxf", "nut", "f4v"])
def test_suffixes_that_ffmpeg_reads_are_videos(root: Path, suffix: str) -> None:
    touch(root, f"clap/c.{suffix}")
    assert f".{suffix.lower()}" in VIDEO_SUFFIXES
    assert read_annotations(root, root=root).classes == ("clap", "jump", "wave")


def test_a_video_folder_without_a_video_is_named_with_what_was_left_out(root: Path) -> None:
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


def test_a_folder_without_any_video_says_what_lies_there(tmp_path: Path) -> None:
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
def test_a_folder_that_may_not_be_read_is_named(root: Path) -> None:
    (root / "wave" / "closed").mkdir(mode=0)
    with pytest.warns(UserWarning, match="wave: 1 closed to this user"):
        read_annotations(root, root=root)
