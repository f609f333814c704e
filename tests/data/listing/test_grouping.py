import numpy as np
import pytest
from touched_file import touch

from gcvideo.data import annotated_videos, stratified_split
from gcvideo.data.listing._annotation import Annotations
from gcvideo.data.listing._grouping import groups_of, read_groups

CLASSES = ("a", "b", "c")


def annotations(labels):
    paths = tuple(f"{i}.mp4" for i in range(len(labels)))
    return Annotations(paths, np.array(labels, dtype=np.int64), CLASSES, "list.txt")


def table(folder, *lines):
    (folder / "groups.csv").write_text("\n".join(lines) + "\n")
    return "groups.csv"


def test_a_table_names_the_group_of_each_video(tmp_path):
    name = table(tmp_path, "Video;class;Group", "a/1.mp4;a;x", "a/2.mp4;a;y", "a/1.mp4;a;x")
    groups = read_groups(name, root=tmp_path)
    assert groups == {"a/1.mp4": "x", "a/2.mp4": "y"}
    assert groups_of(["a/2.mp4", "a/1.mp4"], groups) == ["y", "x"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,label", "1.mp4,0"], "has the columns path, label; .* needs one called group"),
        (["name,group", "1.mp4,x"], "has the columns name, group; .* one of path, file, video"),
        (["path,group", "1.mp4,"], r"row 2: '1\.mp4' has no group; give each video one"),
        (["path,group", "1.mp4,x", "1.mp4,y"], r"row 3: '1\.mp4' has a second group, 'y'"),
    ],
)
def test_a_table_that_leaves_a_group_open_is_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read_groups(table(tmp_path, *lines), root=tmp_path)


def test_a_table_that_is_not_there_and_a_video_that_it_lacks_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.groups is 'groups\.csv', which is neither"):
        read_groups("groups.csv", root=tmp_path)
    with pytest.raises(ValueError, match=r"'2\.mp4' has no group; data\.groups must list every"):
        groups_of(["1.mp4", "2.mp4"], {"1.mp4": "x"})


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_parted(seed):
    rng = np.random.default_rng(seed)
    whole = annotations(rng.integers(0, 3, 300).tolist())
    group = {
        path: f"g{number}"
        for path, number in zip(whole.paths, rng.integers(0, 60, 300), strict=True)
    }
    train, val = stratified_split(whole, 0.2, seed, groups_of(whole.paths, group))
    assert sorted([*train.paths, *val.paths]) == sorted(whole.paths)
    assert not {group[p] for p in train.paths} & {group[p] for p in val.paths}
    assert 60 <= len(val) < 60 + 15
    again = stratified_split(whole, 0.2, seed, groups_of(whole.paths, group))
    assert again[1].paths == val.paths


def test_every_class_keeps_a_video_in_train():
    whole = annotations([0, 0, 1, 1, 2, 2])
    for seed in range(20):
        train, val = stratified_split(whole, 0.4, seed, ["x", "y", "x", "y", "z", "y"])
        assert set(train.labels.tolist()) == {0, 1, 2}
        assert len(val)
    with pytest.raises(ValueError, match=r"no group of list\.txt can go to val, because each has"):
        stratified_split(whole, 0.4, 0, ["x", "x", "y", "y", "z", "z"])


def test_a_data_set_is_divided_by_its_groups(tmp_path):
    files = [f"{label}/{source}_{n}.mp4" for label in "ab" for source in "uvwxyz" for n in "123"]
    touch(tmp_path, *files)
    name = table(tmp_path, "path,group", *(f"{file},{file[2]}" for file in files))
    splits = annotated_videos(root=str(tmp_path), groups=name, val_fraction=0.3)
    sources = [{path[2] for path in part.paths} for part in (splits.train, splits.val)]
    assert not sources[0] & sources[1]
    assert splits.groups["a/u_1.mp4"] == "u"
    other = table(tmp_path, "path,group", *(f"{file},{file[2]}" for file in files[1:]))
    with pytest.raises(ValueError, match=r"'a/u_1\.mp4' has no group"):
        annotated_videos(root=str(tmp_path), groups=other)
