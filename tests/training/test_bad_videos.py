import csv
from types import SimpleNamespace

import pytest
import torch
from lightning.fabric.utilities import move_data_to_device
from torch.utils.data._utils.pin_memory import pin_memory

from gcvideo.data.loading._failure import BadVideosError, VideoProblem
from gcvideo.training import _bad_videos as bad_videos
from gcvideo.training._bad_videos import BadVideos

pytestmark = pytest.mark.usefixtures("unchecked")  # stand-ins for trainer and module


def fake_trainer(**values):
    splits = SimpleNamespace(train=range(100), max_bad_fraction=0.02)
    given = {
        "world_size": 1,
        "is_global_zero": True,
        "datamodule": SimpleNamespace(splits=splits),
    }
    return SimpleNamespace(**(given | values))


def unreadable(video, reason="the file is empty"):
    return VideoProblem(video, f"{video}.mp4", reason, 0, 50)


def damaged(video):
    return VideoProblem(video, f"{video}.mp4", "decoding failed", 3, None)


def show(callback, *problems, batch_idx=0, **values):
    batch = {"problems": problems}
    callback.on_train_batch_end(fake_trainer(**values), None, None, batch, batch_idx)


def table(folder):
    with (folder / "bad_videos.csv").open(newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def test_bad_videos_are_listed_once_as_soon_as_they_are_known(tmp_path, capsys):
    callback = BadVideos(str(tmp_path))
    show(callback)
    assert not list(tmp_path.iterdir())
    show(callback, unreadable(3), damaged(5))
    rows = [
        ("3.mp4", "unreadable", "the file is empty", "0"),
        ("5.mp4", "damaged", "decoding failed", "3"),
    ]
    assert table(tmp_path) == rows
    show(callback, unreadable(3), damaged(5))
    assert table(tmp_path) == rows
    assert (callback.num_unreadable, callback.num_damaged) == (1, 1)
    assert capsys.readouterr().out.splitlines() == [
        "unreadable video '3.mp4': the file is empty; another is shown in its place",
        "damaged video '5.mp4': decoding failed; shown without 3 damaged packets",
    ]


def test_a_damaged_video_that_becomes_unreadable_counts_as_that(tmp_path):
    callback = BadVideos(str(tmp_path))
    for problem in (damaged(5), unreadable(5), damaged(5)):
        show(callback, problem)
    assert (callback.num_unreadable, callback.num_damaged) == (1, 0)
    assert table(tmp_path) == [("5.mp4", "unreadable", "the file is empty", "0")]


def test_too_many_unreadable_videos_stop_the_run_and_damaged_ones_do_not(tmp_path):
    callback = BadVideos(str(tmp_path))
    show(callback, *(damaged(video) for video in range(10, 20)))
    show(callback, unreadable(1), unreadable(2))
    show(callback, unreadable(1), unreadable(2))
    with pytest.raises(BadVideosError) as caught:
        show(callback, unreadable(3))
    assert str(caught.value) == (
        "3 of 100 training videos cannot be read so far: 3.00%, above max_bad_fraction = 2.00%\n"
        "  1.mp4: the file is empty\n  2.mp4: the file is empty\n  3.mp4: the file is empty\n"
        f"all are listed in '{tmp_path}/bad_videos.csv'; make a list without them with "
        "`gcvideo check`, or raise data.max_bad_fraction"
    )
    assert len(table(tmp_path)) == 13


def test_ten_videos_are_printed_and_then_a_count_each_epoch_that_it_grows(tmp_path, capsys):
    callback = BadVideos(str(tmp_path))
    show(callback, *(damaged(video) for video in range(8)))
    show(callback, *(damaged(video) for video in range(8, 14)))
    assert len(capsys.readouterr().out.splitlines()) == 10
    for _ in range(2):
        callback.on_train_epoch_end(fake_trainer(), None)
    assert capsys.readouterr().out == (
        f"0 unreadable and 14 damaged videos so far; see '{tmp_path}/bad_videos.csv'\n"
    )


def test_what_is_known_survives_a_checkpoint(tmp_path):
    callback = BadVideos(str(tmp_path))
    show(callback, unreadable(1), damaged(2))
    path = tmp_path / "state.pt"
    torch.save(callback.state_dict(), path)
    (tmp_path / "again").mkdir()
    again = BadVideos(str(tmp_path / "again"))
    again.load_state_dict(torch.load(path, weights_only=True))
    again.on_train_start(fake_trainer(), None)
    assert table(tmp_path / "again") == table(tmp_path)
    with pytest.raises(BadVideosError, match="3 of 100 training videos"):
        show(again, unreadable(3), unreadable(4))


def test_several_devices_put_their_videos_together_at_fixed_steps(tmp_path, monkeypatch):
    ranks = [BadVideos(str(tmp_path)) for _ in range(2)]
    fresh = {}

    def gathered(own):
        assert own in fresh.values()
        return [fresh[rank] for rank in range(2)]

    monkeypatch.setattr(bad_videos, "gathered", gathered)

    def step(batch_idx, *problems):
        fresh.update({rank: [*ranks[rank]._fresh, problems[rank]] for rank in range(2)})
        for rank, callback in enumerate(ranks):
            show(
                callback,
                problems[rank],
                batch_idx=batch_idx,
                world_size=2,
                is_global_zero=rank == 0,
            )

    step(48, unreadable(1), damaged(2))
    assert not list(tmp_path.iterdir())
    step(49, unreadable(1), unreadable(3))
    assert [row[0] for row in table(tmp_path)] == ["1.mp4", "2.mp4", "3.mp4"]
    for callback in ranks:
        assert (callback.num_unreadable, callback.num_damaged) == (2, 1)
    fresh.update({0: [], 1: [unreadable(4)]})
    ranks[1]._fresh = fresh[1]
    for rank, callback in enumerate(ranks):
        trainer = fake_trainer(world_size=2, is_global_zero=rank == 0)
        with pytest.raises(BadVideosError, match="3 of 100"):
            callback.on_train_epoch_end(trainer, None)


def test_an_exception_loses_none_of_the_videos_known_here(tmp_path):
    callback = BadVideos(str(tmp_path))
    show(callback, unreadable(1), world_size=2)
    callback.on_exception(fake_trainer(world_size=2), None, KeyboardInterrupt())
    assert [row[0] for row in table(tmp_path)] == ["1.mp4"]


def test_problems_survive_pinning_and_the_transfer_to_a_device():
    problems = (unreadable(1), damaged(2))
    moved = move_data_to_device(
        {"views": torch.zeros(2, 1), "problems": problems}, torch.device("meta")
    )
    assert moved["views"].is_meta
    # Without a CUDA device no page can be locked: what counts is the walk through the batch.
    for found in (moved["problems"], pin_memory({"problems": problems})["problems"]):
        assert tuple(found) == problems  # a list in older torch
        assert [type(problem) for problem in found] == [VideoProblem] * 2
