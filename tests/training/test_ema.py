import pytest
import torch
from hydra.utils import instantiate
from lightning import Callback
from omegaconf import OmegaConf
from sharding_ranks import fit, make_module

import gcvideo

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
    average = {name: tensor for name, tensor in steps[0].items() if tensor.is_floating_point()}
    for step in steps[1:]:
        average = {name: decay * a + (1 - decay) * step[name] for name, a in average.items()}
    return average


def assert_close(actual, expected):
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_the_average_is_validated_saved_and_loaded_while_training_goes_on(project, tmp_path):
    recorder = Recorder()
    ema = build(project, "ema/default.yaml", decay=0.6)
    trainer = fit(make_module("sgd"), tmp_path, "auto", callbacks=[ema, recorder])
    assert trainer.global_step == len(recorder.steps) == 4
    for epoch in (0, 1):
        expected = averaged(recorder.steps[: 2 * epoch + 2], 0.6)
        assert_close(recorder.validated[epoch], expected)
        path = tmp_path / f"epoch={epoch}.ckpt"
        assert_close(gcvideo.load(path).model.state_dict(), expected)
        running = torch.load(path, weights_only=True)["current_model_state"]
        last = recorder.steps[2 * epoch + 1]
        assert all(torch.equal(running[f"model.{name}"], last[name]) for name in last)
    assert not torch.equal(expected["net.blocks.5.proj.weight"], last["net.blocks.5.proj.weight"])


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
