import math

import pytest
import torch
from omegaconf import OmegaConf
from stopped_training import resumed, saved

from gcvideo.command.train._data_record import DataChangedError
from gcvideo.command.train._training import train

pytestmark = pytest.mark.slow  # trainings, which take most of the time of a default suite


def test_other_classes_are_refused(run):
    (run.parent / "videos" / "dark").rename(run.parent / "videos" / "night")
    with pytest.raises(DataChangedError, match=r"1 missing \(dark\), 1 new \(night\); its head"):
        train(resumed(f"resume={run}", "accept_changed_lists=true"))


def test_classes_in_another_order_are_refused(run):
    videos = run.parent / "videos"
    for old, new in (("dark", "x"), ("light", "dark"), ("x", "light")):
        (videos / old).rename(videos / new)
    # The files say the same, and their folders do not.
    with pytest.raises(DataChangedError, match=r"begun with other videos: of train, 10 videos"):
        train(resumed(f"resume={run}"))


def test_other_lists_are_refused_until_a_word_accepts_them_once(run, capsys):
    videos = run.parent / "videos"
    (videos / "dark" / "dark_0.mp4").rename(videos / "dark" / "dark_0b.mp4")
    with pytest.raises(DataChangedError) as caught:
        train(resumed(f"resume={run}"))
    message = str(caught.value)
    assert "1 missing (dark/dark_0.mp4)" in message
    assert "1 new (dark/dark_0b.mp4)" in message
    assert "accept_changed_lists=true" in message
    train(resumed(f"resume={run}", "accept_changed_lists=true"))
    assert "1 missing (dark/dark_0.mp4)" in capsys.readouterr().out
    (videos / "dark" / "dark_0b.mp4").rename(videos / "dark" / "dark_0c.mp4")
    (run / "results.json").unlink()
    with pytest.raises(DataChangedError, match=r"1 missing \(dark/dark_0b\.mp4\), 1 new"):
        train(resumed(f"resume={run}"))


def test_the_rate_follows_the_epochs_where_lists_are_shorter(run):
    config = OmegaConf.load(run / "config.yaml")
    config.trainer.limit_train_batches = None
    OmegaConf.save(config, run / "config.yaml")
    content = saved(run)
    content["progress"]["epoch_batches"] = [3, 3, 3]
    torch.save(content, run / "checkpoints" / "last.ckpt")
    for video in ("dark/dark_0.mp4", "dark/dark_1.mp4"):
        (run.parent / "videos" / video).unlink()
    train(resumed(f"resume={run}", "accept_changed_lists=true", "checkpoint.every_n_steps=1"))
    rates = {
        saved(run, name)["global_step"]: saved(run, name)["lr_schedulers"][0]["_last_lr"][0]
        for name in ("previous", "last")
    }
    # Six steps in two epochs, then four in the last: the third of them stands at 2 3/4 of 3 epochs.
    cosine = 0.5 * (1 + math.cos(math.pi * (2 + 3 / 4) / 3))
    assert rates[9] == pytest.approx(cosine * 0.001 * 2 / 16)


def test_a_run_without_a_record_of_its_data_needs_the_word(run):
    (run / "data.jsonl.gz").unlink()
    with pytest.raises(DataChangedError, match=r"lacks data\.jsonl\.gz"):
        train(resumed(f"resume={run}"))
    train(resumed(f"resume={run}", "accept_changed_lists=true"))
    assert (run / "data.jsonl.gz").is_file()


def test_a_run_is_resumed_whose_configuration_names_what_has_moved(run):
    config = OmegaConf.load(run / "config.yaml")
    config.weights = {"_target_": "gcvideo.models.checkpoint_weights", "path": "gone.ckpt"}
    config.weights.choice = {"_target_": "gcvideo.models.NetChoice"}
    config.callbacks.of_old = [{"_target_": "gcvideo.run.sweep_summary.SweepSummary"}]
    OmegaConf.save(config, run / "config.yaml")
    cfg = resumed(f"resume={run}")
    assert cfg.weights._target_ == "gcvideo.weights.checkpoint_weights"
    assert cfg.weights.choice._target_ == "gcvideo.weights.NetChoice"
    assert cfg.callbacks.of_old[0]._target_ == "gcvideo.command.SweepSummary"
    del cfg.callbacks.of_old
    train(cfg)
