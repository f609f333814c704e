import csv

import pytest
import torch

from gcvideo.data.listing._table_file import column_name
from gcvideo.evaluation import VideoScores
from gcvideo.evaluation import _scores as scores
from gcvideo.evaluation._scores import score_columns

CLASSES = ["hug", "kick, high", "wave"]


def filled(*batches):
    table = VideoScores()
    for videos, labels, rows in batches:
        table.add(torch.tensor(videos), torch.tensor(labels), torch.tensor(rows))
    return table


def example():
    return filled(
        ([2, 0], [1, 0], [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]),
        ([1], [2], [[0.6, 0.1, 0.3]]),
    )


def test_scores_come_back_from_their_state():
    table = example()
    again = VideoScores.of_state(table.state())
    assert again.videos() == table.videos() == [0, 1, 2]
    assert torch.equal(again.labels(), table.labels())
    assert torch.equal(again.scores(), table.scores())
    assert len(VideoScores.of_state(VideoScores().state())) == 0


def test_scores_and_labels_come_in_order_of_the_list():
    table = example()
    assert len(table) == 3
    assert table.labels().tolist() == [0, 2, 1]
    expected = torch.tensor([[0.5, 0.3, 0.2], [0.6, 0.1, 0.3], [0.1, 0.7, 0.2]])
    assert torch.equal(table.scores(), expected)


def test_a_video_scored_twice_counts_once():
    table = filled(([0, 1, 0], [1, 0, 1], [[0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]))
    assert len(table) == 2
    assert table.labels().tolist() == [1, 0]
    assert table.scores().shape == (2, 2)


def test_gathering_joins_the_ranks_and_counts_shared_videos_once(monkeypatch):
    mine, other = example(), filled(([3, 1], [0, 2], [[0.4, 0.3, 0.3], [0.6, 0.1, 0.3]]))

    def all_gather(shares, rows):
        shares[:] = [rows, other._rows]

    monkeypatch.setattr(scores, "is_initialized", lambda: True)
    monkeypatch.setattr(scores, "get_world_size", lambda: 2)
    monkeypatch.setattr(scores, "all_gather_object", all_gather)
    mine.gather()
    assert mine.labels().tolist() == [0, 2, 1, 0]
    assert len(mine) == 4


def test_table_holds_one_row_a_video(tmp_path):
    videos = ["a.mp4", "b, c.mp4", "d\u00e9.mp4", "never scored.mp4"]
    example().write(tmp_path / "scores.csv", videos, CLASSES)
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["video", "label", "prediction", *CLASSES],
        ["a.mp4", "hug", "hug", "0.500000", "0.300000", "0.200000"],
        ["b, c.mp4", "wave", "hug", "0.600000", "0.100000", "0.300000"],
        ["d\u00e9.mp4", "kick, high", "kick, high", "0.100000", "0.700000", "0.200000"],
    ]


def test_a_table_that_cannot_be_finished_leaves_the_one_before(tmp_path):
    path = tmp_path / "scores.csv"
    example().write(path, ["a.mp4", "b.mp4", "c.mp4"], CLASSES)
    before = path.read_bytes()
    with pytest.raises(IndexError):  # the third video has no name
        example().write(path, ["a.mp4", "b.mp4"], CLASSES)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_no_utf_8_is_written_as_the_file_is_called(tmp_path):
    name = b"caf\xe9.mp4"
    example().write(tmp_path / "scores.csv", [name.decode("utf-8", "surrogateescape")] * 3, CLASSES)
    assert (tmp_path / "scores.csv").read_bytes().count(name) == 3


COLLIDING = ["label", "video", "Prediction", "score:label", "hug"]


def test_classes_called_as_other_columns_have_columns_of_their_own(tmp_path):
    table = filled(([0], [1], [[0.1, 0.5, 0.2, 0.15, 0.05]]))
    table.write(tmp_path / "scores.csv", ["a.mp4"], COLLIDING)
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        (row,) = reader
    columns = reader.fieldnames
    assert len({column_name(column) for column in columns}) == len(columns) == 8
    assert (row["video"], row["label"], row["prediction"]) == ("a.mp4", "video", "video")
    assert columns[3:] == [
        *("score:label", "score:video", "score:Prediction"),
        "score:score:label",
        "hug",
    ]
    # Whoever reads the table has the names back by taking the prefix off.
    assert [column.removeprefix("score:") for column in columns[3:]] == COLLIDING
    assert [float(row[column]) for column in score_columns(COLLIDING)] == [
        0.1,
        0.5,
        0.2,
        0.15,
        0.05,
    ]
