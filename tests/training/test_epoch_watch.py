import io
import re
from types import SimpleNamespace

import pytest
import torch

from gcvideo._console import Console
from gcvideo.training import EpochLine, ProgressBar
from gcvideo.training import _display as display
from gcvideo.training._epoch_watch import number
from gcvideo.training._time_left import TimeLeft

pytestmark = pytest.mark.usefixtures("unchecked")  # stand-ins for trainer and module
WIDEST = {"loss": 12.3456, "top1": 0.9876}


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def lines(self):
        """What was written, without control codes, by line or redrawn line."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())
        return [line for line in re.split(r"[\r\n]+", plain) if line.strip()]


def make_trainer(max_epochs=2, num_batches=4, bar=None):
    return SimpleNamespace(
        is_global_zero=True,
        current_epoch=0,
        max_epochs=max_epochs,
        num_training_batches=num_batches,
        num_val_batches=[3],
        callback_metrics={},
        check_val_every_n_epoch=1,
        progress_bar_callback=bar,
    )


def step(watches, trainer, index, *, loss, top1, rate=12345.6):
    for watch in watches:
        watch.on_train_batch_start(trainer, None, None, index)
    trainer.callback_metrics |= {
        "train/loss_step": torch.tensor(loss),
        "train/top1_step": torch.tensor(top1),
        "clips_per_second": torch.tensor(rate),
    }
    for watch in watches:
        watch.on_train_batch_end(trainer, None, None, None, index)


def end_epoch(watches, trainer, **metrics):
    trainer.callback_metrics |= {key: torch.tensor(value) for key, value in metrics.items()}
    for watch in watches:
        watch.on_train_epoch_end(trainer, None)


def test_the_time_left_is_that_of_the_epochs_behind_without_the_first():
    clock = Clock()
    left = TimeLeft(clock)
    assert left.seconds(0, 10) is None
    left.begin(0)
    assert left.seconds(0, 10) is None
    clock.now = 50
    assert left.seconds(0.5, 10) == pytest.approx(950)
    clock.now = 100
    left.mark(1)
    assert left.seconds(1, 10) == pytest.approx(900)
    clock.now = 110
    left.mark(2)
    assert left.seconds(2, 10) == pytest.approx(80)
    clock.now = 115
    assert left.seconds(2.5, 10) == pytest.approx(75)
    assert left.seconds(10, 10) == 0


def test_the_time_left_follows_the_last_ten_epochs_and_a_run_that_goes_on():
    clock = Clock()
    left = TimeLeft(clock)
    left.begin(20.5)
    clock.now = 5
    left.mark(21)
    assert left.seconds(21, 40) == pytest.approx(190)
    for epoch in range(22, 36):
        clock.now += 1 if epoch < 25 else 7
        left.mark(epoch)
    assert left.seconds(35, 40) == pytest.approx(35)


def test_an_epoch_prints_means_and_the_time_left_of_the_run(capsys, monkeypatch):
    line, trainer = EpochLine(), make_trainer(max_epochs=3)
    line.time_left = TimeLeft(clock := Clock())
    line.on_train_start(trainer, None)
    for epoch in range(3):
        trainer.current_epoch = epoch
        line.on_train_epoch_start(trainer, None)
        step([line], trainer, 0, loss=9.0, top1=0.0)
        clock.now += 1620
        given = {"train/loss_epoch": 0.5, "val/loss": 1.25, "train/top1_epoch": 0.75}
        end_epoch([line], trainer, **given, **{"val/top1": 0.25})
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/3  loss 0.500, val 1.250  top-1 0.750, val 0.250  54 min left",
        "epoch 2/3  loss 0.500, val 1.250  top-1 0.750, val 0.250  27 min left",
        "epoch 3/3  loss 0.500, val 1.250  top-1 0.750, val 0.250",
    ]


@pytest.mark.parametrize("max_epochs", [-1, None])
def test_a_run_of_open_length_promises_no_time(capsys, max_epochs):
    line, trainer = EpochLine(), make_trainer(max_epochs=max_epochs)
    line.on_train_start(trainer, None)
    step([line], trainer, 0, loss=9.0, top1=0.0)
    end_epoch([line], trainer, **{"train/loss_epoch": 0.5})
    assert capsys.readouterr().out == "epoch 1  loss 0.500\n"


@pytest.mark.parametrize("has_bar", [False, True])
def test_without_a_bar_a_line_follows_after_each_minute(capsys, monkeypatch, has_bar):
    clock = Clock()
    monkeypatch.setattr(display.time, "monotonic", clock)
    bar = SimpleNamespace(is_enabled=has_bar)
    line, trainer = EpochLine(), make_trainer(num_batches=100, bar=bar)
    line.time_left = TimeLeft(clock)
    line.on_train_start(trainer, None)
    line.on_train_epoch_start(trainer, None)
    for index in range(100):
        step([line], trainer, index, loss=float(index), top1=0.5, rate=29.84)
        clock.now += 2
    lines = capsys.readouterr().out.splitlines()
    if has_bar:
        assert lines == []
        return
    assert len(lines) == 3  # after 60, 120 and 180 of 200 seconds
    # Of the batches 0 to 30, not of the last.
    assert lines[0] == "epoch 1/2 31%  loss 15.00  top-1 0.500  29.8 clips/s  5 min left"


def test_no_line_of_a_run_has_more_than_80_columns(capsys, monkeypatch):
    """With four digits of epochs, and days left."""
    clock = Clock()
    monkeypatch.setattr(display.time, "monotonic", clock)
    line, trainer = EpochLine(), make_trainer(max_epochs=1000, num_batches=100)
    trainer.current_epoch = 900
    line.time_left = TimeLeft(clock)
    line.on_train_start(trainer, None)
    for index in range(100):
        clock.now += 61
        step([line], trainer, index, loss=12.3456, top1=0.98765)
    given = {"train/loss_epoch": 12.3456, "train/top1_epoch": 0.98765}
    end_epoch([line], trainer, **given, **{"val/loss": 12.3456, "val/top1": 0.98765})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 100
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith("6 days 22 h left")


def test_a_bar_fills_one_line_of_80_columns_and_lines_stand_above_it(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    for name, value in {"COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    bar, other = ProgressBar(), Console()
    assert bar.is_enabled
    trainer = make_trainer(max_epochs=196, bar=bar)
    bar.on_train_start(trainer, None)
    bar.on_train_epoch_start(trainer, None)
    for index in range(4):
        step([bar], trainer, index, loss=float(index), top1=0.5)
        bar._due = 0.0
        bar._bar.refresh()
        other.print(f"said after batch {index}")
    bar.on_validation_batch_end(trainer, None, None, None, 2)
    bar._bar.refresh()
    bar.on_train_end(trainer, None)
    lines = terminal.lines()
    assert max(map(len, lines)) <= 80
    for index in range(4):
        at = lines.index(f"said after batch {index}")
        assert lines[at + 1].startswith("epoch 1/196 ")  # the bar is drawn anew below
    # Means so far: of the losses 0 to 3, not the last.
    assert any("epoch 1/196 val" in line and "loss 1.500" in line for line in lines)
    # Each print erases the bar first.
    assert terminal.getvalue().count("\x1b[2K") >= 4
    assert not Console._live


def test_the_bar_is_silent_without_a_terminal_and_on_other_ranks(monkeypatch, capsys):
    bar, trainer = ProgressBar(), make_trainer()
    assert not bar.is_enabled
    bar.on_train_start(trainer, None)
    step([bar], trainer, 0, loss=1.0, top1=0.5)
    trainer.is_global_zero = False
    bar.enable()
    bar.on_train_start(trainer, None)
    step([bar], trainer, 1, loss=1.0, top1=0.5)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.12345, "0.123"), (9.9996, "10.00"), (12.3456, "12.35"), (999.96, "1000")),
        *((-0.5, "-0.500"), (1e6, "1e+06"), (float("nan"), "nan")),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text
