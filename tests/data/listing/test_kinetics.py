import os
from pathlib import Path

import pytest

from gcvideo.data.listing._annotation import read_annotations
from gcvideo.data.listing._kinetics import KineticsClip, find_clips, listed_clips

HEADER = "label,youtube_id,time_start,time_end,split\n"


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def clip(label: str = "air drumming", youtube_id: str = "-abc") -> KineticsClip:
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
def test_a_clip_is_found_under_every_usual_name(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name, tmp_path / "-abc.json")
    assert find_clips([clip()], tmp_path) == [name]


def test_the_cut_clip_goes_before_the_whole_video(tmp_path: Path) -> None:
    touch(tmp_path / "-abc.mp4", tmp_path / "-abc_000005_000015.mp4")
    assert find_clips([clip()], tmp_path) == ["-abc_000005_000015.mp4"]


def test_each_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "air_drumming" / "-abc.mp4")
    listed = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listdir(path))
    find_clips([clip()] * 5 + [clip(youtube_id="gone")] * 5, tmp_path)
    assert listed == [tmp_path, tmp_path / "air_drumming"]


def test_no_clip_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError,
        match=r"none of the 1 Kinetics clips .*-abc_000005_000015\.mp4' first; set root \(data\.root\)",
    ):
        find_clips([clip()], tmp_path)


def test_times_are_whole_seconds(tmp_path: Path) -> None:
    (tmp_path / "k.csv").write_text(HEADER + "a,x,1,2,train\na,y,1.5,3,train\n")
    with pytest.raises(ValueError, match=r"row 3: time_start is '1\.5' .* whole seconds"):
        listed_clips(tmp_path / "k.csv")


def test_a_row_cut_short_is_named(tmp_path: Path) -> None:
    (tmp_path / "k.csv").write_text(HEADER + "a,x\n")
    with pytest.raises(ValueError, match=r"row 2: time_start is None .* whole seconds"):
        listed_clips(tmp_path / "k.csv")


def test_the_official_list_counts_what_is_missing(tmp_path: Path) -> None:
    rows = ["zumba,a,1,11,train", "abseiling,b,0,10,train", "zumba,c,0,10,validate"]
    (tmp_path / "k.csv").write_text(HEADER + "\n".join([*rows, "abseiling,d,2,12,train"]))
    touch(tmp_path / "a_000001_000011.mp4", tmp_path / "zumba" / "c.mp4")
    touch(tmp_path / "abseiling" / "d.mp4")

    train = read_annotations("k.csv", root=tmp_path, split="train")
    assert train.paths == ("a_000001_000011.mp4", "abseiling/d.mp4")
    assert train.labels.tolist() == [1, 0]
    assert train.classes == ("abseiling", "zumba")
    assert train.num_missing == 1

    val = read_annotations("k.csv", root=tmp_path, split="val", classes=["zumba", "abseiling"])
    assert (val.paths, val.labels.tolist()) == (("zumba/c.mp4",), [0])
