"""A cache that cannot be written: data that must lie there says so, all else goes without."""

import errno
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import gcvideo.data.listing._path_list as path_list
from gcvideo.data import Annotations, annotated_videos, cue_videos, demo_videos
from gcvideo.data.listing._cache import CacheError, cache_folder
from gcvideo.data.video._frame_index import FrameIndex, index_path
from gcvideo.weights import WeightsError
from gcvideo.weights._download import cached_file


@pytest.fixture
def no_home(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GCVIDEO_CACHE")
    monkeypatch.setattr(Path, "home", home)


@pytest.fixture
def read_only_home(monkeypatch, tmp_path):
    """A home folder on a file system that is mounted read-only."""
    real = Path.mkdir

    def mkdir(self, *given, **options):
        if self.is_relative_to(tmp_path) and not self.exists():
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        real(self, *given, **options)

    monkeypatch.delenv("GCVIDEO_CACHE")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(Path, "mkdir", mkdir)
    return tmp_path


@pytest.fixture
def below_a_file(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GCVIDEO_CACHE", str(tmp_path / "file" / "cache"))
    return tmp_path / "file" / "cache"


def small_set(make):
    per_class = {"train_per_class": 1, "val_per_class": 1}
    return make(**per_class) if make is demo_videos else make(**per_class, test_per_class=1)


@pytest.mark.parametrize("make", [demo_videos, cue_videos])
def test_a_made_set_names_folder_reason_and_remedy(make, read_only_home):
    with pytest.raises(CacheError) as caught:
        small_set(make)
    folder = re.escape(str(read_only_home / ".cache" / "gcvideo"))
    text = rf"'{folder}/\w+-\w+' cannot be .* \(Read-only file system\); .*GCVIDEO_CACHE=/a/folder"
    assert re.search(text, str(caught.value))


def test_a_made_set_names_a_folder_that_is_a_file(below_a_file):
    with pytest.raises(CacheError, match=r"Not a directory.*GCVIDEO_CACHE=/a/folder") as caught:
        small_set(demo_videos)
    assert str(below_a_file) in str(caught.value)


@pytest.mark.usefixtures("no_home")
def test_without_a_home_a_made_set_asks_for_a_folder(tmp_path):
    with pytest.raises(CacheError, match=r"no home folder .*GCVIDEO_CACHE=/a/folder"):
        small_set(demo_videos)
    assert cache_folder(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("cache", ["no_home", "read_only_home", "below_a_file"])
def test_videos_of_a_folder_need_no_cache(request, cache, video_folder):
    request.getfixturevalue(cache)
    splits = annotated_videos(root=str(video_folder))
    assert splits.index is None
    assert len(splits.train) == 10


@pytest.mark.parametrize("cache", ["no_home", "read_only_home", "below_a_file"])
def test_a_long_list_is_held_in_memory_with_a_warning(request, cache, monkeypatch):
    request.getfixturevalue(cache)
    monkeypatch.setattr("gcvideo.data.listing._annotation.LONG_LIST", 3)
    with pytest.warns(UserWarning, match="set GCVIDEO_CACHE to a folder") as caught:
        long = Annotations(["a", "b", "c"], np.array([0, 1, 0]), ("x", "y"), "list", ".")
    assert len(caught) == 1
    monkeypatch.undo()  # in another process the cache may be writable
    for held in (long, pickle.loads(pickle.dumps(long))):
        assert list(held.paths) == ["a", "b", "c"]
    assert path_list.recall_list("any") is None


def test_an_index_that_may_not_be_read_counts_as_none_with_a_warning(monkeypatch, video_folder):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied", str(index_path(video_folder)))

    monkeypatch.setattr("gcvideo.data.video._frame_index.ArrayFile", denied)
    with pytest.warns(UserWarning, match="Permission denied"):
        assert FrameIndex.of_root(video_folder) is None


def test_weights_without_a_home_ask_for_a_folder(monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "~/.cache/torch/hub")
    with pytest.raises(WeightsError, match=r"no home folder; .* TORCH_HOME=/a/folder"):
        cached_file("https://example.com/a.pth")
