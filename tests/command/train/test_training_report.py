import pytest

from gcvideo.command.train._training import train


class Begun(Exception):
    """Instead of the training, which comes behind the report."""


@pytest.fixture
def reported(compose_config, tiny, video_folder, tmp_path, monkeypatch, capsys):
    """What a run of 10 training videos says before it trains."""

    def fit(*given):
        raise Begun

    def report(*overrides):
        words = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "logger=none"]
        with pytest.raises(Begun):
            train(compose_config("train", [*words, *overrides, f"output_dir={tmp_path}"]))
        return capsys.readouterr().out

    monkeypatch.setattr("gcvideo.command.train._training._fit", fit)
    return report


@pytest.mark.parametrize(
    ("accumulated", "batches", "views"),
    [
        (1, "3 x 1 CPU,", 3),
        (3, "3 x 1 CPU x 3 accumulated batches,", 9),
        (2, "3 x 1 CPU x 2 accumulated batches, 1 in the last step of an epoch,", 6),
        (8, "3 x 1 CPU x 3 accumulated batches (all of an epoch, fewer than 8),", 9),
    ],
)
def test_views_per_step_and_rate_are_those_of_the_batches_that_an_epoch_has(
    reported, accumulated, batches, views
):
    """10 videos are three batches of 3."""
    rate = ["lr=0.1", "base_batch_size=36"]
    said = reported("batch_size=3", f"trainer.accumulate_grad_batches={accumulated}", *rate)
    assert f"{views} views per step: {batches} precision" in said
    assert f"rate       lr {0.1 * views / 36:g} = 0.1 x {views} / 36" in said


def test_mixing_that_finds_no_other_video_is_warned_of(reported):
    alone = reported("batch_size=1", "clips_per_video=2", "mixing=mixup")
    assert "warning: mixing blends the videos of a batch, and batch_size is 1" in alone
    assert "warning: mixing" not in reported("batch_size=2", "mixing=mixup")
    assert "warning: mixing" not in reported("batch_size=1")
