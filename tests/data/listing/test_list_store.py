"""Long lists lie in the cache: pickles stay small, and a source is parsed once."""

import multiprocessing
import os
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from gcvideo.data.listing import _annotation as annotation
from gcvideo.data.listing._annotation import (
    Annotations,
    read_annotations,
    stratified_split,
)
from gcvideo.data.listing._path_list import LONG_LIST

CLASSES = tuple(f"class {i}" for i in range(700))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GCVIDEO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lists"


def annotations(num_videos, classes=CLASSES):
    paths = [f"train/{classes[i % len(classes)]}/{i:011d}.mp4" for i in range(num_videos)]
    labels = np.arange(num_videos, dtype=np.int64) % len(classes)
    return Annotations(paths, labels, classes, "list.txt", "/videos", 3)


def same(one, two):
    return (
        one.paths == two.paths
        and np.array_equal(one.labels, two.labels)
        and (one.classes, one.source, one.root, one.num_missing)
        == (two.classes, two.source, two.root, two.num_missing)
    )


def write(file, num_rows, label="b"):
    (file.parent / "v0.mp4").touch()
    lines = [f"v{i}.mp4,{'a' if i % 2 else label}\n" for i in range(num_rows)]
    file.write_text("path,label\n" + "".join(lines))
    return file


def damage(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


@pytest.fixture
def parsed(monkeypatch):
    """The sources that were parsed."""
    places = []
    read = annotation.read_listing
    monkeypatch.setattr(
        annotation, "read_listing", lambda place, *a: places.append(place) or read(place, *a)
    )
    return places


def test_a_long_list_is_kept_in_one_file_and_a_short_one_in_none(cache):
    short = annotations(LONG_LIST - 1)
    assert not cache.exists()
    assert same(pickle.loads(pickle.dumps(short)), short)
    long = annotations(LONG_LIST)
    annotations(LONG_LIST)
    assert len(list(cache.iterdir())) == 1
    assert len(pickle.dumps(long)) < 1000 < len(pickle.dumps(short))
    assert same(pickle.loads(pickle.dumps(long)), long)
    assert long.path(1) == "/videos/train/class 1/00000000001.mp4"


def test_parts_of_a_long_list_are_kept_if_they_are_long(cache):
    train, val = stratified_split(annotations(2 * LONG_LIST), 0.2, seed=0)
    assert len(list(cache.iterdir())) == 2
    assert (len(pickle.dumps(train)) < 1000, len(pickle.dumps(val)) < 1000) == (True, False)
    assert sorted([*train.paths, *val.paths]) == sorted(annotations(2 * LONG_LIST).paths)
    for part in (train, val):
        videos = [int(Path(path).stem) for path in part.paths]
        np.testing.assert_array_equal(part.labels, np.array(videos) % 700)


def test_a_pickle_survives_that_the_cache_was_emptied_before(cache):
    long = annotations(LONG_LIST)
    for file in cache.iterdir():
        file.unlink()
    assert same(pickle.loads(pickle.dumps(long)), annotations(LONG_LIST))


def test_a_source_is_parsed_once(tmp_path, parsed):
    source = write(tmp_path / "t.csv", LONG_LIST)
    first, again = (read_annotations("t.csv", root=tmp_path) for _ in range(2))
    assert parsed == [source]
    assert same(first, again)
    assert again.classes == ("a", "b")
    elsewhere = source.rename(tmp_path / "u.csv")
    moved = read_annotations("u.csv", root=str(tmp_path))
    assert (moved.source, len(parsed)) == (str(elsewhere), 1)
    assert moved.paths == first.paths


def test_a_short_source_is_parsed_each_time(tmp_path, parsed, cache):
    write(tmp_path / "t.csv", 10)
    for _ in range(2):
        read_annotations("t.csv", root=tmp_path)
    assert (len(parsed), cache.exists()) == (2, False)


def test_another_content_of_the_same_size_and_time_is_another_list(tmp_path):
    source = write(tmp_path / "t.csv", LONG_LIST)
    assert read_annotations("t.csv", root=tmp_path).classes == ("a", "b")
    before = source.stat()
    write(source, LONG_LIST, label="c")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (source.stat().st_size, source.stat().st_mtime_ns) == (
        before.st_size,
        before.st_mtime_ns,
    )
    assert read_annotations("t.csv", root=tmp_path).classes == ("a", "c")


def test_what_is_asked_for_is_part_of_what_is_remembered(tmp_path):
    rows = "".join(
        f"v{i}.mp4,{'ab'[i % 2]},{('train', 'val')[i // 2 % 2]}\n" for i in range(40_000)
    )
    (tmp_path / "t.csv").write_text("path,label,split\n" + rows)
    (tmp_path / "v0.mp4").touch()
    (tmp_path / "v2.mp4").touch()
    for _ in range(2):
        train, val, turned = (
            read_annotations("t.csv", root=tmp_path, split=split, classes=classes)
            for split, classes in (("train", None), ("val", None), ("train", ["b", "a"]))
        )
        assert (train.paths[1], val.paths[1]) == ("v1.mp4", "v3.mp4")
        assert (train.labels[1], turned.labels[1], turned.classes) == (1, 0, ("b", "a"))


def test_a_remembered_list_still_needs_its_first_file(tmp_path):
    write(tmp_path / "t.csv", LONG_LIST)
    read_annotations("t.csv", root=tmp_path)
    (tmp_path / "v0.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"lists 'v0\.mp4', .*v0\.mp4'; set data\.root"):
        read_annotations("t.csv", root=tmp_path)


def test_clips_that_arrive_later_are_found(tmp_path):
    rows = "".join(f"{'ab'[i % 2]},id{i},0,10,train\n" for i in range(LONG_LIST + 1))
    (tmp_path / "k.csv").write_text("label,youtube_id,time_start,time_end,split\n" + rows)
    for i in range(LONG_LIST):
        (tmp_path / f"id{i}.mp4").touch()
    assert read_annotations("k.csv", root=tmp_path).num_missing == 1
    (tmp_path / f"id{LONG_LIST}.mp4").touch()
    assert read_annotations("k.csv", root=tmp_path).num_missing == 0


@pytest.mark.parametrize("place", [3, 40, -1])
def test_a_damaged_file_is_made_anew(tmp_path, cache, parsed, place):
    write(tmp_path / "t.csv", LONG_LIST)
    expected = list(read_annotations("t.csv", root=tmp_path).paths)
    for file in cache.iterdir():
        damage(file, place)
    again = read_annotations("t.csv", root=tmp_path)
    assert (list(again.paths), again.classes, len(parsed)) == (expected, ("a", "b"), 2)
    read_annotations("t.csv", root=tmp_path)
    assert len(parsed) == 2


def _read(root):
    return len(read_annotations("t.csv", root=root).paths)


def _unpickled(content):
    found = pickle.loads(content)
    return found.path(len(found) - 1), int(found.labels.sum())


@pytest.mark.slow
def test_processes_may_read_a_new_source_at_once(tmp_path, cache):
    write(tmp_path / "t.csv", LONG_LIST)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_read, [tmp_path] * 8)) == [LONG_LIST] * 8
        long = read_annotations("t.csv", root=tmp_path)
        expected = (long.path(LONG_LIST - 1), int(long.labels.sum()))
        assert pool.submit(_unpickled, pickle.dumps(long)).result() == expected
    assert [file.name[0] for file in cache.iterdir()].count(".") == 0
    assert len(list(cache.iterdir())) == 2


class _Touched(Dataset[int]):
    """Item i reads every row and gives the bytes of memory that only this process holds."""

    def __init__(self, annotations, workers):
        self.annotations = annotations
        self.barrier = multiprocessing.get_context("fork").Barrier(workers)

    def __len__(self):
        return self.barrier.parties

    def __getitem__(self, index):
        before = unique_bytes()
        for video in range(len(self.annotations)):
            self.annotations.path(video), self.annotations.labels[video]
        self.barrier.wait(120)
        grown = unique_bytes() - before
        self.barrier.wait(120)
        return grown


def unique_bytes():
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * sum(map(int, re.findall(r"Private_(?:Clean|Dirty): +([0-9]+) kB", rollup)))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_workers_share_the_memory_of_650_000_rows():
    long = annotations(650_000)
    assert len(pickle.dumps(long)) < 10_000
    loader = DataLoader(
        _Touched(long, 2), batch_size=1, num_workers=2, multiprocessing_context="fork"
    )
    grown = torch.cat(list(loader)).tolist()
    assert max(grown) < 5e6, grown
