"""Faults that are put into a run, and what becomes of it."""

import shutil

import pytest
import torch
from hydra import compose, initialize_config_dir
from stopped_training import CONF

import gcvideo.training._classifier as classifier
from gcvideo.command._preflight import OutputFolderError
from gcvideo.command._user_error import user_error
from gcvideo.command.train._resuming import ResumeError, find_resume_point, resumed_config
from gcvideo.command.train._training import train
from gcvideo.training import CheckpointWriteError, NonFiniteLossError
from gcvideo.training._checkpoint_file import AtomicCheckpointIO


@pytest.fixture
def overrides(tiny, video_folder):
    given = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "batch_size=2"]
    finite_loss = "+callbacks.finite_loss._target_=gcvideo.training.FiniteLoss"
    return [*given, "logger=none", "callbacks=none", finite_loss]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory, tiny, video_folder):
    """The folder of a run of two epochs of five steps."""
    folder = tmp_path_factory.mktemp("finished")
    given = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "batch_size=2"]
    more = ["logger=none", "callbacks=none", "epochs=2", f"output_dir={folder}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        train(compose("train", [*given, *more]))
    return folder


@pytest.fixture
def finished(finished_run, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished_run, tmp_path / "finished")


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_before_its_step_and_the_run_can_be_repaired(
    compose_config, tmp_path, overrides, monkeypatch, capsys
):
    cross_entropy, calls = classifier.F.cross_entropy, []

    def broken(logits, targets, **options):
        calls.append(len(targets))
        loss = cross_entropy(logits, targets, **options)
        return loss * (float("nan") if len(calls) == 4 else 1)

    monkeypatch.setattr(classifier.F, "cross_entropy", broken)
    with pytest.raises(NonFiniteLossError) as caught:
        train(compose_config("train", [*overrides, f"output_dir={tmp_path}"]))
    message = user_error(caught.value)
    assert "at step 3 of epoch 1" in message
    assert message.count(".mp4") == 2
    assert last(tmp_path)["global_step"] == 3
    train(resumed_config([f"resume={tmp_path}", "trainer.gradient_clip_val=1.0"]))
    assert "resume     step 3" in capsys.readouterr().out
    assert last(tmp_path)["global_step"] == 5
    assert len(calls) == 4 + 2


def test_an_unwritable_folder_is_refused_before_training(compose_config, tmp_path, overrides):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderError, match="file"):
        train(compose_config("train", [*overrides, f"output_dir={tmp_path}/file/run"]))


def test_a_full_disk_is_refused_before_training(compose_config, tmp_path, overrides, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputFolderError):
        train(compose_config("train", [*overrides, f"output_dir={tmp_path}"]))
    assert not (tmp_path / "checkpoints").exists()


def test_a_disk_that_fills_up_keeps_the_checkpoint_before(
    compose_config, tmp_path, overrides, monkeypatch
):
    save, saved = AtomicCheckpointIO.save_checkpoint, []

    def failing(self, checkpoint, path, storage_options=None):
        saved.append(path)
        if len(saved) == 2:
            raise CheckpointWriteError(f"cannot write the checkpoint '{path}'")
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", failing)
    with pytest.raises(CheckpointWriteError):
        train(
            compose_config(
                "train", [*overrides, f"output_dir={tmp_path}", "checkpoint.every_n_steps=2"]
            )
        )
    assert last(tmp_path)["global_step"] == 2


@pytest.mark.slow
def test_few_clips_for_a_batch_norm_are_warned_of(compose_config, tmp_path, overrides, capsys):
    train(compose_config("train", [*overrides, f"output_dir={tmp_path}/local"]))
    printed = capsys.readouterr().out
    assert "batch norm local, statistics of 2 views" in printed
    assert "from 2 clips, fewer than 8" in printed
    assert "2 views per step: 2 x 1 CPU" in printed
    frozen = [*overrides, f"output_dir={tmp_path}/frozen", "batch_norm.mode=frozen"]
    train(compose_config("train", frozen))
    assert "fewer than 8" not in capsys.readouterr().out


def test_a_truncated_checkpoint_falls_back_to_the_one_before_and_says_so(finished, capsys):
    path = finished / "checkpoints" / "last.ckpt"
    content = path.read_bytes()
    whole = last(finished)
    path.write_bytes(content[: len(content) // 2])
    train(resumed_config([f"resume={finished}"]))
    printed = capsys.readouterr().out
    assert f"warning: '{path}' cannot be read" in printed
    assert "previous.ckpt" in printed
    again = last(finished)
    assert again["global_step"] == whole["global_step"] == 10
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, again["state_dict"][name])


def test_without_a_whole_checkpoint_a_run_is_not_resumed(finished):
    for path in (finished / "checkpoints").iterdir():
        path.write_bytes(b"PK")
    with pytest.raises(ResumeError, match="no checkpoint of the run can be read"):
        find_resume_point(finished, run_id=None)


@pytest.mark.slow
def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_again(finished, capsys):
    shutil.rmtree(finished / "checkpoints")
    train(resumed_config([f"resume={finished}"]))
    assert "has no checkpoint yet" in capsys.readouterr().out
    assert last(finished)["global_step"] == 10


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr=0.1", "'lr' defines the run"),
        ("trainer.limit_val_batches=1", "'trainer.limit_val_batches' defines the run"),
        ("batch_size=0", "batch_size is 0; give a whole number of at least 1"),
        ("trainer.max_epochs=9", "'trainer.max_epochs' defines the run"),
        ("trainer.devises=2", "'trainer.devises' is no key of"),
        ("resume=/no/such/run", "resume is '/no/such/run', where there is no config.yaml"),
    ],
)
def test_what_a_resumed_run_cannot_take_is_refused(finished, override, message):
    given = [override] if override.startswith("resume") else [f"resume={finished}", override]
    with pytest.raises(ValueError, match=message):
        resumed_config(given)


def test_other_batches_than_those_of_the_run_are_refused(finished):
    (finished / "checkpoints" / "last.ckpt").unlink()  # the one before is of the first epoch
    with pytest.raises(
        ValueError, match="made with 2 views x 1 accumulated batches, and now has 4"
    ):
        train(resumed_config([f"resume={finished}", "batch_size=4"]))


def test_a_checkpoint_interval_below_one_step_is_refused(compose_config, tmp_path, overrides):
    cfg = compose_config(
        "train", [*overrides, f"output_dir={tmp_path}", "checkpoint.every_n_steps=0"]
    )
    with pytest.raises(ValueError, match="every_n_steps is 0; give at least 1 optimizer step"):
        train(cfg)
