import pytest
import torch
from hydra.utils import instantiate
from lightning import Callback
from omegaconf import OmegaConf
from small_fit import fit, make_module
from torch import nn
from torch.optim.swa_utils import AveragedModel

import gcvideo
from gcvideo.training import WeightAverage

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]


def build(project, group, **changes):
    return instantiate(OmegaConf.merge(OmegaConf.load(project / "conf" / group), changes))


def weights_of(module):
    return {name: tensor.clone() for name, tensor in module.model.state_dict().items()}


class Recorder(Callback):
    """The weights after each step and those that each epoch validates."""

    def __init__(self):
        self.steps, self.validated = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append(weights_of(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if batch_idx == 0:
            self.validated.append(weights_of(pl_module))


def averaged(steps, decay):
    """By its own recursion, in double precision."""
    average = {n: tensor.double() for n, tensor in steps[0].items() if tensor.is_floating_point()}
    for number, step in enumerate(steps[1:], 1):
        kept = min(decay, (1 + number) / (10 + number))
        average = {name: kept * a + (1 - kept) * step[name] for name, a in average.items()}
    return {name: tensor.float() for name, tensor in average.items()}


def assert_close(actual, expected):
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.slow
def test_the_average_is_validated_saved_and_loaded_while_training_goes_on(project, tmp_path):
    recorder = Recorder()
    ema = build(project, "ema/default.yaml", decay=0.28)
    trainer = fit(make_module("sgd"), tmp_path, "auto", callbacks=[ema, recorder])
    assert trainer.global_step == len(recorder.steps) == 4
    for epoch in (0, 1):
        expected = averaged(recorder.steps[: 2 * epoch + 2], 0.28)
        assert_close(recorder.validated[epoch], expected)
        path = tmp_path / f"epoch={epoch}.ckpt"
        assert_close(gcvideo.load(path).model.state_dict(), expected)
        running = torch.load(path, weights_only=True)["current_model_state"]
        last = recorder.steps[2 * epoch + 1]
        assert all(torch.equal(running[f"model.{name}"], last[name]) for name in last)
    assert not torch.equal(expected["net.blocks.5.proj.weight"], last["net.blocks.5.proj.weight"])


def test_the_average_is_that_of_the_formula():
    ema = WeightAverage(decay=0.25)
    average = AveragedModel(nn.Linear(1, 1, bias=False), multi_avg_fn=ema._average)
    values = [11.0, 22.0, 44.0, 8.0]
    # 2 / 11, 3 / 12, then the limit, where 4 / 13 would be more.
    expected = [11.0, 11 * 2 / 11 + 22 * 9 / 11, 20 * 3 / 12 + 44 * 9 / 12, 38 / 4 + 8 * 3 / 4]
    for number, (value, wanted) in enumerate(zip(values, expected, strict=True)):
        net = nn.Linear(1, 1, bias=False)
        nn.init.constant_(net.weight, value)
        assert ema.should_update(step_idx=number)
        average.update_parameters(net)
        assert average.module.weight.item() == pytest.approx(wanted, rel=1e-6)
    assert not ema.should_update(epoch_idx=0)


@pytest.mark.slow
def test_a_short_run_with_the_default_decay_ends_near_the_weights_that_it_learned(
    project, tmp_path
):
    recorder = Recorder()
    ema = build(project, "ema/default.yaml")
    fit(make_module("sgd"), tmp_path, "auto", epochs=8, callbacks=[ema, recorder])
    average = gcvideo.load(tmp_path / "epoch=7.ckpt").model.state_dict()
    name = "net.blocks.5.proj.weight"
    first, last = recorder.steps[0][name], recorder.steps[-1][name]
    assert (average[name] - last).norm() < 0.3 * (first - last).norm()
    counts = [name for name in average if name.endswith("num_batches_tracked")]
    assert counts
    assert all(torch.equal(average[name], recorder.steps[-1][name]) for name in counts)


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_a_decay_that_averages_nothing_is_refused(decay):
    with pytest.raises(ValueError, match=r"ema\.decay is .*; give .* such as 0\.9999"):
        WeightAverage(decay=decay)


def test_a_resumed_run_goes_on_with_its_average(project, tmp_path):
    def run(folder, **options):
        ema = build(project, "ema/default.yaml", decay=0.6)
        fit(make_module("sgd"), tmp_path / folder, "auto", callbacks=[ema], **options)
        return torch.load(tmp_path / folder / "epoch=1.ckpt", weights_only=True)["state_dict"]

    through = run("through")
    resumed = run("resumed", start=tmp_path / "through" / "epoch=0.ckpt")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in through.items())


def test_training_stops_where_the_accuracy_no_longer_rises(project, tmp_path):
    stopping = build(project, "early_stopping/default.yaml", patience=1)
    # A rate of 0 and frozen statistics: the first validation is the best.
    module = make_module("sgd", lr=0.0, train_only="blocks")
    trainer = fit(module, tmp_path, "auto", epochs=5, callbacks=[stopping])
    assert trainer.current_epoch == 2
