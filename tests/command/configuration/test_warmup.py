import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from gcvideo.command.configuration._composition import check_overrides
from gcvideo.command.configuration._value_rule import ValueRuleError, shorten_warmup
from gcvideo.command.train import _training as training
from gcvideo.training import highest_factor


def settled(compose_config, *words):
    cfg = compose_config("train", list(words))
    return cfg, shorten_warmup(cfg)


@pytest.mark.parametrize(
    ("words", "epochs", "wanted"),
    [([], 1, 2), ([], 2, 2), (["data=folder", "data.root=x"], 1, 3), (["data=cue"], 1, 1)],
)
def test_a_first_try_of_few_epochs_reaches_its_rate(compose_config, words, epochs, wanted):
    cfg, lines = settled(compose_config, *words, f"epochs={epochs}")
    assert cfg.warmup_epochs == cfg.scheduler.warmup_epochs == epochs / 10
    assert highest_factor(instantiate(cfg.scheduler, _convert_="all"), epochs) > 0.95
    (line,) = lines
    assert f"{epochs / 10:g} epochs, a tenth of the run: warmup_epochs is {wanted}, more" in line


def test_a_warm_up_of_at_most_half_of_the_run_stays(compose_config):
    for words in (
        ["epochs=4"],
        [],
        ["epochs=1", "warmup_epochs=0.5"],
        ["warmup_epochs=0", "epochs=1"],
    ):
        cfg = compose_config("train", words)
        before = cfg.copy()
        assert shorten_warmup(cfg) == []
        assert cfg == before
    cfg, lines = settled(compose_config, "epochs=3")
    assert lines
    before = cfg.copy()
    assert shorten_warmup(cfg) == []
    assert cfg == before


def test_a_schedule_without_warm_up_is_left_alone(compose_config):
    cfg = compose_config("train", ["~scheduler.warmup_epochs", "epochs=1"])
    assert shorten_warmup(cfg) == []


@pytest.mark.parametrize(
    "words",
    [
        ["epochs=2", "warmup_epochs=2"],
        ["trainer.max_epochs=2", "scheduler.warmup_epochs=1.5"],
        ["epochs=2", "warmup_epochs=0.5,2"],
    ],
)
def test_two_values_that_contradict_each_other_are_refused(words):
    with pytest.raises(
        ValueRuleError, match=r"warmup_epochs is [\d.]+ and the run has 2 .* most 1, or"
    ):
        check_overrides("train", words)


@pytest.mark.parametrize(
    "words", [["epochs=2"], ["warmup_epochs=18"], ["epochs=2", "warmup_epochs=1"]]
)
def test_one_value_that_does_not_fit_a_recipe_is_no_contradiction(words):
    check_overrides("train", words)


def test_a_training_tells_and_keeps_its_shorter_warm_up(
    compose_config, tiny, video_folder, tmp_path, monkeypatch, capsys
):
    words = [*tiny, "model=c2d", "data=folder", f"data.root={video_folder}", "logger=none"]
    words += ["warmup_epochs=3", f"output_dir={tmp_path}"]
    monkeypatch.setattr(training, "_fit", None)  # all is said and written by then
    with pytest.raises(TypeError):
        training.train(compose_config("train", words))
    assert OmegaConf.load(tmp_path / "config.yaml").warmup_epochs == 0.1
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "warm-up 0.1 epochs, a tenth of the run: warmup_epochs is 3, more than half of 1,"
        in printed
    )
    assert "warning: the schedule reaches" not in printed


def test_a_run_goes_on_by_the_schedule_that_it_was_begun_with(compose_config):
    cfg = compose_config("train", ["epochs=3"])
    cfg.resume = "runs/begun"
    assert shorten_warmup(cfg) == []
    assert cfg.scheduler.warmup_epochs == 2
