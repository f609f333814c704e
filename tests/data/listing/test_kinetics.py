import os
from pathlib import Path

import pytest
from touched_file import touch

from gcvideo.data import read_annotations
from gcvideo.data.listing._kinetics import (
    KineticsClip,
    find_clips,
    listed_clips,
    match_clips,
    read_unreadable,
)

HEADER = "label,youtube_id,time_start,time_end,split\n"
ROWS = (
    "air drumming,-abc,5,15,train\n"
    "air drumming,gone,5,15,train\n"
    "zumba,zero,5,15,train\n"
    "zumba,broken,0,10,train\n"
    "zumba,fine,5,15,train\n"
    "air drumming,held,1,11,validate\n"
)
FILES = (
    "air_drumming/-abc_000005_000015.mp4",
    "zumba/zero_000005_000015.mp4",
    "zumba/broken.mp4",
    "zumba/fine.webm",
    "validate/air drumming/held.mp4",
)


def clip(label="air drumming", youtube_id="-abc"):
    return KineticsClip(label, youtube_id, 5, 15, "train")


@pytest.mark.parametrize(
    "name",
    [
        "-abc_000005_000015.mp4",
        "-abc.webm",
        "air drumming/-abc_000005_000015.mp4",
        "air_drumming/-abc_000005_000015.MP4",
        "air_drumming/-abc.mp4",
        "train/-abc_000005_000015.mp4",
        "train/air_drumming/-abc_000005_000015.mp4",
    ],
)
def test_a_clip_is_found_under_every_usual_name(tmp_path, name):
    touch(tmp_path, name, "-abc.json")
    assert find_clips([clip()], tmp_path) == [name]
    if name == "-abc_000005_000015.mp4":  # the cut clip goes before the whole video
        touch(tmp_path, "-abc.mp4")
        assert find_clips([clip()], tmp_path) == [name]


def test_each_folder_is_listed_once(tmp_path, monkeypatch):
    touch(tmp_path, "air_drumming/-abc.mp4")
    listed = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listdir(path))
    find_clips([clip()] * 5 + [clip(youtube_id="gone")] * 5, tmp_path)
    assert listed == [tmp_path, tmp_path / "air_drumming"]


def test_no_clip_at_all_is_an_error(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"none of the 1 Kinetics clips .*-abc_000005_000015\.mp4' first; set root \(data\.root\)",
    ):
        find_clips([clip()], tmp_path)


def test_the_official_list_counts_what_is_missing(tmp_path):
    rows = ["zumba,a,1,11,train", "abseiling,b,0,10,train", "zumba,c,0,10,validate"]
    (tmp_path / "k.csv").write_text(HEADER + "\n".join([*rows, "abseiling,d,2,12,train"]))
    touch(tmp_path, "a_000001_000011.mp4", "zumba/c.mp4", "abseiling/d.mp4")

    train = read_annotations("k.csv", root=tmp_path, split="train")
    assert train.paths == ("a_000001_000011.mp4", "abseiling/d.mp4")
    assert train.labels.tolist() == [1, 0]
    assert train.classes == ("abseiling", "zumba")
    assert train.num_missing == 1

    val = read_annotations("k.csv", root=tmp_path, split="val", classes=["zumba", "abseiling"])
    assert (val.paths, val.labels.tolist()) == (("zumba/c.mp4",), [0])


@pytest.fixture
def kinetics_folder(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"" if "zero" in name else b"video")
    (tmp_path / "list.csv").write_text(HEADER + ROWS)
    return tmp_path


@pytest.mark.parametrize("bad", ["zumba/broken.mp4", "{root}/zumba/../zumba/broken.mp4"])
def test_every_row_is_found_missing_or_bad(kinetics_folder, bad):
    listed = listed_clips(kinetics_folder / "list.csv")
    matched = match_clips(listed, kinetics_folder, [bad.format(root=kinetics_folder)])
    assert [match.path for match in matched] == [FILES[0], None, *FILES[1:]]
    statuses = ["found", "missing", "bad", "bad", "found", "found"]
    assert [match.status for match in matched] == statuses
    assert [match.split for match in matched] == ["train"] * 5 + ["val"]


def test_a_relative_root_and_a_link_to_nowhere(kinetics_folder, monkeypatch):
    monkeypatch.chdir(kinetics_folder.parent)
    (kinetics_folder / "gone.mp4").symlink_to("nowhere")
    listed = listed_clips(kinetics_folder / "list.csv")
    bad = [str(kinetics_folder / "zumba" / "broken.mp4")]
    matched = match_clips(listed, Path(kinetics_folder.name), bad)
    assert [match.status for match in matched[:4]] == ["found", "bad", "bad", "bad"]


def test_the_files_are_those_that_annotations_find(kinetics_folder):
    matched = match_clips(listed_clips(kinetics_folder / "list.csv"), kinetics_folder)
    read = read_annotations("list.csv", root=kinetics_folder, split="train")
    ours = [match for match in matched if match.split == "train" and match.path]
    assert [match.path for match in ours] == list(read.paths)
    names = [match.clip.label for match in ours]
    assert names == [read.classes[label] for label in read.labels]


@pytest.mark.parametrize(("name", "split"), [("val", "val"), ("validate", "val"), ("test", "test")])
def test_a_list_without_splits_is_named_by_its_file(tmp_path, name, split):
    table = tmp_path / f"{name}.csv"
    table.write_text("label,youtube_id,time_start,time_end\nzumba,a,1,11\n")
    assert [row.split for row in listed_clips(table)] == [split]
    assert [row.split for row in listed_clips(table, "train")] == ["train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\na.mp4,0\n",
            r"has the columns path, label, but an official .* also has time_end, time_start, youtube_id; "
            "give csv=",
        ),
        ("", r"has the columns \(none\)"),
        (HEADER + "zumba,a,1,11,train\n,a,1,11,train\n", r"row 3 has no label; complete or delete"),
        (
            HEADER + "a,x,1,2,train\na,y,1.5,3,train\n",
            r"row 3: time_start is '1\.5' .* whole seconds",
        ),
        (HEADER + "a,x\n", "row 2: time_start is None .* whole seconds"),
        (HEADER + "zumba,a,1,11,\n", r"row 2 has no split; name the file train\.csv.*split="),
        (
            HEADER + "zumba,a,1,11,../x\n",
            r"row 2: the split '\.\./x' cannot name a file; use train",
        ),
    ],
)
def test_a_table_that_is_no_official_list_is_refused(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        listed_clips(tmp_path / "list.csv")


def test_missing_files_and_folders_are_named(kinetics_folder):
    none = kinetics_folder / "none"
    with pytest.raises(FileNotFoundError, match=r"no file '.*none'; give csv= an official"):
        listed_clips(none)
    with pytest.raises(FileNotFoundError, match=r"no file '.*none'; give bad= the bad_videos"):
        read_unreadable(none)
    listed = listed_clips(kinetics_folder / "list.csv")
    with pytest.raises(FileNotFoundError, match=r"root is '.*none', which is not a folder; give"):
        match_clips(listed, none)
    none.mkdir()
    with pytest.raises(FileNotFoundError, match="none of the 6 Kinetics clips"):
        match_clips(listed, none)


def test_only_unreadable_videos_of_a_check_are_bad(tmp_path):
    table = tmp_path / "bad_videos.csv"
    table.write_text('path,status,reason\na.mp4,damaged,"x"\n"b, c.mp4",unreadable,y\n')
    assert read_unreadable(table) == ["b, c.mp4"]
    table.write_text("file,status\n")
    with pytest.raises(ValueError, match=r"has the columns file, status, but needs path and sta"):
        read_unreadable(table)
