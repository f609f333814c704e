import pytest

from gcvideo.command.train._data_record import record_split
from gcvideo.data import annotated_videos


@pytest.fixture
def root(tmp_path):
    for name in ("clap hands", "wave"):
        (tmp_path / "root" / name).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "root" / name / f"a {number}.mp4").touch()
    return tmp_path / "root"


def test_a_drawn_split_can_be_given_again(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    drawn = annotated_videos(root="root", seed=3)
    record_split(folder, drawn)
    lists = {name: f"run/{name}.txt" for name in ("train", "val", "classes")}
    again = annotated_videos(root="root", **lists)
    for name in ("train", "val"):
        one, other = getattr(again, name), getattr(drawn, name)
        assert one.paths == other.paths
        assert one.labels.tolist() == other.labels.tolist()
    assert again.classes == drawn.classes
    assert not again.is_drawn


def test_lists_are_those_of_the_split_that_a_resumed_run_goes_on_with(root, tmp_path):
    record_split(tmp_path, annotated_videos(root=str(root)))
    (root / "wave" / "new.mp4").touch()
    drawn = annotated_videos(root=str(root))
    record_split(tmp_path, drawn)
    rows = (tmp_path / "train.txt").read_text().splitlines()
    assert [row.rpartition(" ")[0] for row in rows] == list(drawn.train.paths)


def test_a_split_that_no_list_can_hold_is_said(root, tmp_path, capsys):
    (root / "wave" / "line\nbreak.mp4").touch()
    record_split(tmp_path, annotated_videos(root=str(root)))
    assert "warning: the split is not written: the path" in capsys.readouterr().out
    assert not (tmp_path / "train.txt").exists()
