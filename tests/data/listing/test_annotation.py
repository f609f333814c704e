import numpy as np
import pytest
from touched_file import touch

from gcvideo.data.listing._annotation import (
    Annotations,
    read_annotations,
    read_classes,
    stratified_split,
)


@pytest.fixture
def root(tmp_path):
    names = ("run/b 1.mp4", "run/a.AVI", "jump/c.mp4", "jump/.notes.txt", "x.mp4")
    return touch(tmp_path, *names)


def write(root, name, *lines):
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def annotations(labels, classes=("a", "b", "c")):
    paths = tuple(f"{i}.mp4" for i in range(len(labels)))
    return Annotations(paths, np.array(labels, dtype=np.int64), classes, "list.txt")


def test_a_folder_gives_its_subfolders_as_classes(root):
    found = read_annotations(root, root=root)
    assert found.paths == ("jump/c.mp4", "run/a.AVI", "run/b 1.mp4")
    assert found.labels.tolist() == [0, 1, 1]
    assert found.classes == ("jump", "run")
    assert found.path(0) == str(root / "jump/c.mp4")


def test_a_folder_elsewhere_gives_absolute_paths(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert read_annotations(root, root=elsewhere).path(0) == str(root / "jump/c.mp4")


def test_folders_named_by_numbers_are_names_and_sources_may_be_below_the_working_folder(
    root, monkeypatch
):
    touch(root, "n/10/v.mp4", "n/9/v.mp4")
    found = read_annotations("n", root=root)
    assert (found.classes, found.labels.tolist()) == (("10", "9"), [0, 1])
    monkeypatch.chdir(root.parent)
    assert len(read_annotations(f"{root.name}/n", root=root.name)) == 2


@pytest.mark.parametrize("separator", [" ", "\t", "  \t "])
def test_a_text_list_has_paths_with_spaces(root, separator):
    name = write(root, "l.txt", f"jump/c.mp4{separator}0", "", f"run/b 1.mp4{separator}1")
    found = read_annotations(name, root=root, split="train")
    assert found.paths == ("jump/c.mp4", "run/b 1.mp4")
    assert found.labels.tolist() == [0, 1]
    assert found.classes == ("jump", "run")


def test_labels_that_do_not_follow_the_folders_name_themselves(root):
    name = write(root, "l.txt", "run/a.AVI 0", "run/b 1.mp4 2")
    assert read_annotations(name, root=root).classes == ("0", "1", "2")


def test_class_names_can_be_given_and_used_as_labels(root):
    numbered = write(root, "l.txt", "x.mp4 1", "run/a.AVI 2")
    named = write(root, "n.txt", "x.mp4 b", "run/a.AVI c")
    for name in (numbered, named):
        found = read_annotations(name, root=root, classes=["a", "b", "c"])
        assert (found.labels.tolist(), found.classes) == ([1, 2], ("a", "b", "c"))


@pytest.mark.parametrize("path_column", ["path", "file", "video", "filename"])
@pytest.mark.parametrize("label_column", ["label", "class", "class_name"])
def test_a_table_names_its_columns(root, path_column, label_column):
    name = write(root, "t.csv", f"{path_column},{label_column}", "run/a.AVI,run", "x.mp4,hop")
    found = read_annotations(name, root=root)
    assert (found.paths, found.labels.tolist()) == (("run/a.AVI", "x.mp4"), [1, 0])
    assert found.classes == ("hop", "run")


def test_a_table_serves_several_splits_with_the_same_labels(root):
    rows = ["run/a.AVI,run,train", "x.mp4,hop,train", "jump/c.mp4,run,validation"]
    name = write(root, "t.csv", "file, class ,split", *rows)
    assert len(read_annotations(name, root=root)) == 3
    train = read_annotations(name, root=root, split="train")
    val = read_annotations(name, root=root, split="val", classes=train.classes)
    assert (len(train), val.paths, val.labels.tolist()) == (2, ("jump/c.mp4",), [1])
    with pytest.raises(ValueError, match=r"no rows of the split 'test'; .* train, validation"):
        read_annotations(name, root=root, split="test")


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("a.txt", [""], r"a\.txt lists no videos; check data\.train"),
        ("b.txt", ["x.mp4 0", "x.mp4"], r"b\.txt, row 2: 'x\.mp4' has no label"),
        ("c.txt", ["x.mp4 0", "x.mp4 1.5"], "row 2: label '1.5' is not a whole number"),
        ("d.txt", ["x.mp4 1", "x.mp4 2"], "start at 1 and end at 2; .* subtract one"),
        ("e.txt", ["x.mp4 0", "x.mp4 -1"], r"row 2: label -1 is not in 0\.\.0"),
        ("f.txt", ["x.mp4 0", "x.mp4 0"], "has only one class, '0'; a classifier needs two"),
        ("g.csv", ["name,label", "x.mp4,0"], "columns name, label, but needs one of path, file"),
        ("h.csv", ["path,verb", "x.mp4,0"], "columns path, verb, but needs one of label, class"),
        ("i.csv", ["label,path", "0,x.mp4", "1"], r"i\.csv, row 3 has no path; complete or delete"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(root, name, lines, message):
    with pytest.raises(ValueError, match=message):
        read_annotations(write(root, name, *lines), root=root)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["x.mp4 1", "x.mp4 3"], "start at 1 and end at 3"),
        (["x.mp4 0", "x.mp4 3"], r"row 2: label 3 is not in 0\.\.2, the 3 classes"),
        (["x.mp4 jumpp"], "row 1: label 'jumpp' is not one of the 3 classes; did you mean jump"),
        (["x.mp4 run", "x.mp4 1"], "row 2: label '1' is not one of the 3 classes; give all"),
        (["x.mp4 zzz"], "row 1: label 'zzz' is not one of the 3 classes; give all"),
    ],
)
def test_labels_must_fit_the_classes_given(root, lines, message):
    with pytest.raises(ValueError, match=message):
        read_annotations(write(root, "l.txt", *lines), root=root, classes=["run", "jump", "sit"])


def test_a_part_may_lack_the_first_class_where_classes_are_given(root):
    found = read_annotations(write(root, "l.txt", "x.mp4 1"), root=root, classes=["a", "b", "c"])
    assert found.labels.tolist() == [1]


def test_what_is_not_there_is_named(root):
    with pytest.raises(
        FileNotFoundError, match=r"neither '.*nowhere' nor 'nowhere'; give a folder"
    ):
        read_annotations("nowhere", root=root)
    with pytest.raises(FileNotFoundError, match=r"lists 'gone.mp4', .*gone.mp4'; set data\.root"):
        read_annotations(write(root, "l.txt", "gone.mp4 0", "x.mp4 1"), root=root)


def test_a_folder_without_videos_or_classes_is_refused(root):
    (root / "empty" / "run").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"there are no videos in '.*empty'; put them into one"):
        read_annotations("empty", root=root)
    touch(root, "empty/run/v.mp4")
    with pytest.raises(ValueError, match="has only one class, 'run'"):
        read_annotations("empty", root=root)


def test_class_lists_are_one_name_a_line(root):
    assert read_classes(root / write(root, "c.txt", "air drumming", "", "zumba ")) == (
        "air drumming",
        "zumba",
    )
    with pytest.raises(ValueError, match="is empty; write one class name per line"):
        read_classes(root / write(root, "e.txt", ""))
    with pytest.raises(ValueError, match="has 'a' twice; name each class once"):
        read_classes(root / write(root, "t.txt", "a", "b", "a"))
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        read_classes(root / "none.txt")


def test_a_stratified_split_has_every_class_in_both_parts():
    whole = annotations([0] * 10 + [1] * 2 + [2] * 5)
    train, val = stratified_split(whole, 0.2, seed=3)
    assert np.bincount(train.labels).tolist() == [8, 1, 4]
    assert np.bincount(val.labels).tolist() == [2, 1, 1]
    assert sorted([*train.paths, *val.paths]) == sorted(whole.paths)
    assert train.classes == val.classes == whole.classes
    assert stratified_split(whole, 0.2, seed=3)[1].paths == val.paths
    assert stratified_split(whole, 0.2, seed=4)[1].paths != val.paths


def test_a_split_that_cannot_be_made_says_why():
    with pytest.raises(ValueError, match=r"class 'b' of list\.txt has a single video"):
        stratified_split(annotations([0, 0, 1]), 0.5, 0)
    with pytest.raises(ValueError, match=r"val_fraction is 1\.0 but must be between 0 and 1"):
        stratified_split(annotations([0, 0, 1, 1]), 1.0, 0)


def test_a_subset_keeps_order_and_classes():
    part = annotations([0, 1, 2]).subset([2, 0])
    assert (part.paths, part.labels.tolist()) == (("2.mp4", "0.mp4"), [2, 0])
    assert part.classes == ("a", "b", "c")
    assert len(part.subset([])) == 0


def test_the_shared_lists_are_read(shared_data):
    root = shared_data / "ut_interaction"
    train = read_annotations(shared_data / "ut_interaction_train.txt", root=root)
    assert len(train) == 83
    assert train.classes == ("handshake", "hug", "kick", "point", "punch", "push")
    table = read_annotations(shared_data / "ut_interaction.csv", root=root, split="train")
    assert (table.paths, table.classes) == (train.paths, train.classes)
