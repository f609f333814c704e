import csv
from pathlib import Path

import numpy as np
import pytest

from gcvideo.data.listing._annotation import read_annotations, read_classes
from gcvideo.data.listing._list_file import (
    check_listable,
    write_list,
    write_table,
    write_text,
)


@pytest.mark.parametrize(
    "classes",
    [
        ("clap hands", "wave"),
        tuple(str(number) for number in range(3)),
        tuple(sorted(str(number) for number in range(12))),  # "10" before "2"
        tuple(str(number) for number in range(1, 5)),
    ],
)
def test_a_list_reads_back_with_the_same_paths_and_labels(tmp_path, classes):
    labels = np.repeat(np.arange(1, len(classes), dtype=np.int64), 2)
    paths = [f"some folder/é {i}.mp4" for i in range(len(labels))]
    (tmp_path / "some folder").mkdir()
    (tmp_path / paths[0]).touch()
    write_text(tmp_path / "classes.txt", "".join(f"{name}\n" for name in classes))
    write_list(tmp_path / "train.txt", paths, labels, classes)
    names = read_classes(tmp_path / "classes.txt")
    read = read_annotations("train.txt", root=tmp_path, classes=names)
    assert list(read.paths) == paths
    assert read.labels.tolist() == labels.tolist()
    assert read.classes == classes


@pytest.mark.parametrize("path", [" a.mp4", "a.mp4 ", "a\nb.mp4", "a\rb.mp4"])
def test_a_path_that_a_list_cannot_hold_is_refused(path):
    with pytest.raises(
        ValueError, match=r"starts or ends with a space or has a line break.*rename"
    ):
        check_listable(["fine.mp4", path], ["a", "b"])


def test_classes_called_by_a_number_beside_one_with_a_space_are_refused():
    check_listable([], ["clap hands", "wave"])
    check_listable([], ["7", "wave"])
    with pytest.raises(
        ValueError, match=r"'7' looks like a label and 'clap hands' has a space.*re"
    ):
        check_listable([], ["7", "clap hands"])


def test_a_table_reads_back_and_no_draft_is_left(tmp_path):
    rows = [("a, b", 'c "d"'), ("e\nf", "\udce9")]
    write_table(tmp_path / "table.csv", ("x", "y"), rows)
    with (tmp_path / "table.csv").open(errors="surrogateescape", newline="") as file:
        assert list(csv.reader(file)) == [["x", "y"], *map(list, rows)]
    assert list(tmp_path.iterdir()) == [tmp_path / "table.csv"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")

    def fail(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
