import csv
from collections import Counter

import pytest

from gcvideo.command.dataset._kinetics import kinetics
from gcvideo.data import read_annotations, read_classes
from gcvideo.data.listing._kinetics import listed_clips

HEADER = "label,youtube_id,time_start,time_end,split\n"
TRAIN = (
    "zumba,fine,5,15,train\nair drumming,-abc,5,15,train\nzumba,gone,0,10,train\n"
    "zumba,broken,5,15,train\nair drumming,zero,5,15,train\n"
)
VAL = "biking,held,1,11,validate\nzumba,lost,1,11,validate\n"
FILES = (
    *("air_drumming/-abc_000005_000015.mp4", "zumba/fine.mp4", "zumba/broken.mp4"),
    *("air drumming/zero.mp4", "validate/biking/held.mp4"),
)


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"" if "zero" in name else b"video")
    (tmp_path / "train.csv").write_text(HEADER + TRAIN)
    (tmp_path / "val.csv").write_text(HEADER + VAL)
    bad = "path,status\nzumba/broken.mp4,unreadable\nzumba/fine.mp4,damaged\n"
    (tmp_path / "bad.csv").write_text(bad)
    return tmp_path


@pytest.fixture
def run_kinetics(compose_config, folder):
    def run(*words, tables="train.csv,val.csv"):
        csvs = ",".join(f"{folder}/{name}" for name in tables.split(","))
        given = [f"csv=[{csvs}]", f"root={folder}", f"output={folder}/lists"]
        return kinetics(compose_config("kinetics", [*given, *words]))

    return run


def table(file):
    with file.open(newline="") as stream:
        return list(csv.reader(stream))


def test_lists_classes_coverage_and_the_missing_rest_are_written(run_kinetics, folder, capsys):
    totals = run_kinetics(f"bad={folder}/bad.csv")
    lists = folder / "lists"
    assert totals == {
        "train": Counter(found=2, missing=1, bad=2),
        "val": Counter(found=1, missing=1, bad=0),
    }
    assert read_classes(lists / "classes.txt") == ("air drumming", "biking", "zumba")
    assert (lists / "train.txt").read_text() == (
        "zumba/fine.mp4 2\nair_drumming/-abc_000005_000015.mp4 0\n"
    )
    assert (lists / "val.txt").read_text() == "validate/biking/held.mp4 1\n"
    assert table(lists / "coverage.csv") == [
        ["split", "label", "class", "listed", "found", "missing", "bad"],
        ["train", "0", "air drumming", "2", "1", "0", "1"],
        ["train", "1", "biking", "0", "0", "0", "0"],
        ["train", "2", "zumba", "3", "1", "1", "1"],
        ["val", "0", "air drumming", "0", "0", "0", "0"],
        ["val", "1", "biking", "1", "1", "0", "0"],
        ["val", "2", "zumba", "1", "0", "1", "0"],
        ["train", "", "(total)", "5", "2", "1", "2"],
        ["val", "", "(total)", "2", "1", "1", "0"],
    ]
    rest = listed_clips(lists / "missing.csv")
    assert [row.clip.youtube_id for row in rest] == ["gone", "broken", "zero", "lost"]
    assert table(lists / "missing.csv")[0] == HEADER.strip().split(",")
    assert {file.name for file in lists.iterdir()} == {
        *("train.txt", "val.txt", "classes.txt", "coverage.csv", "missing.csv")
    }
    printed = capsys.readouterr().out
    assert "classes with the worst coverage" in printed
    first = next(line for line in printed.splitlines() if "(train)" in line or "(val)" in line)
    assert "zumba (val)" in first
    assert "0.0%" in first


def test_the_lists_mean_what_the_official_csv_means(run_kinetics, folder):
    run_kinetics(tables="train.csv")
    official = read_annotations("train.csv", root=folder, split="train")
    lists = folder / "lists"
    classes = read_classes(lists / "classes.txt")
    ours = read_annotations(lists / "train.txt", root=folder, classes=classes)
    assert ours.classes == official.classes
    expected = dict(zip(official.paths, official.labels.tolist(), strict=True))
    del expected["air drumming/zero.mp4"]
    assert dict(zip(ours.paths, ours.labels.tolist(), strict=True)) == expected


def test_one_csv_and_one_split_may_be_given(compose_config, folder):
    (folder / "all.csv").write_text(HEADER + TRAIN + VAL)
    given = [f"csv={folder}/all.csv", f"root={folder}", f"output={folder}/lists", "split=val"]
    assert kinetics(compose_config("kinetics", given)) == {
        "val": Counter(found=1, missing=1, bad=0)
    }
    assert (folder / "lists" / "val.txt").read_text() == "validate/biking/held.mp4 1\n"
    assert not (folder / "lists" / "train.txt").exists()


def test_the_order_of_classes_can_be_given(run_kinetics, folder):
    (folder / "order.txt").write_text("zumba\nair drumming\nbiking\n")
    run_kinetics(f"classes={folder}/order.txt")
    assert (folder / "lists" / "val.txt").read_text() == "validate/biking/held.mp4 2\n"
    assert read_classes(folder / "lists" / "classes.txt") == ("zumba", "air drumming", "biking")


def test_mistakes_are_named_with_their_remedy(run_kinetics, folder):
    (folder / "order.txt").write_text("zumbaa\nair drumming\nbiking\n")
    with pytest.raises(
        ValueError, match=r"class 'zumba' is not among the 3 in .*; did you mean zumbaa\?.*classes="
    ):
        run_kinetics(f"classes={folder}/order.txt")
    with pytest.raises(
        ValueError, match=r"val\.csv lists no clips of the split 'train', only of val; give another"
    ):
        run_kinetics("split=train", tables="val.csv")
    with pytest.raises(FileNotFoundError, match=r"no file '.*none\.csv'; give csv="):
        run_kinetics(tables="none.csv")
    with pytest.raises(FileNotFoundError, match=r"root is '.*none', which is not a folder"):
        run_kinetics(f"root={folder}/none")
    assert not (folder / "lists").exists()


def test_another_run_puts_lists_into_the_same_place(run_kinetics, folder):
    run_kinetics()
    (folder / "zumba" / "gone.mp4").write_bytes(b"video")
    totals = run_kinetics()
    assert totals["train"] == Counter(found=4, missing=0, bad=1)
    assert "zumba/gone.mp4 2" in (folder / "lists" / "train.txt").read_text()
