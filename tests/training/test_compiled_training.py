"""Compiled training, in a process without the checker of annotations: as this script."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning import Callback, LightningDataModule
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from quiet_trainer import make_trainer
from small_fit import make_batch, make_module
from torch._dynamo.testing import CompileCounter
from torch.utils.data import DataLoader

from gcvideo.models import stages_of
from gcvideo.models._compilation import compile_net
from gcvideo.training._precise_batch_norm import PreciseBatchNorm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fits(project, tmp_path_factory):
    command = [sys.executable, __file__, str(tmp_path_factory.mktemp("fits"))]
    done = subprocess.run(
        command,
        cwd=project / "tests",
        env=os.environ | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_compiled_training_with_its_callbacks_has_the_losses_of_the_net(fits):
    assert fits["losses"] == pytest.approx(fits["losses of the net"], abs=1e-5)


def test_a_compiled_training_leaves_the_weights_and_statistics_of_the_net(fits):
    assert fits["same keys"]
    assert fits["largest difference"] < 1e-4


def test_smaller_batches_views_and_further_epochs_need_no_graphs(fits):
    # Training, validation, and two of precise statistics, whose counts begin at zero.
    assert fits["graphs"] <= 4
    assert fits["graphs without callbacks"] == 2


def test_a_compiled_net_trains_under_ddp(fits):
    assert fits["losses under ddp"] == pytest.approx(fits["losses without callbacks"], abs=1e-5)
    assert fits["graphs under ddp"] >= 2
    assert fits["losses without callbacks"] == pytest.approx(
        fits["losses of the bare net"], abs=1e-5
    )


def test_a_compiled_training_in_bf16_is_validated_in_float32(fits):
    assert fits["loss of validation under bf16"] == pytest.approx(
        fits["loss of validation in float32"], abs=1e-6
    )
    assert fits["graphs under bf16"] == 2


class Data(LightningDataModule):
    """Three training batches, the last one smaller, and validation with two views of a video."""

    def train_dataloader(self):
        return self.loader((4, 1), (4, 1), (3, 1))

    def val_dataloader(self):
        return self.loader((3, 2), (2, 2))

    def statistics_dataloader(self, epoch, num_batches):
        return self.loader((4, 1), (2, 1), first_seed=10 * (epoch + 1))

    def num_batches(self, epoch):
        return 3

    def loader(self, *sizes, first_seed=0):
        batches = [make_batch(first_seed + i, *size) for i, size in enumerate(sizes)]
        return DataLoader(batches, batch_size=None)


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(outputs["loss"].item())

    def on_validation_end(self, trainer, pl_module):
        self.values.append(trainer.callback_metrics["val/loss"].item())


def fit(module, folder, *, callbacks=(), **options):
    losses = Losses()
    trainer = make_trainer(folder, max_epochs=2, callbacks=[*callbacks, losses], **options)
    trainer.fit(module, Data())
    return losses.values


def short_module():
    """With two residual blocks per stage."""
    module = make_module("sgd")
    for stage in stages_of(module.model.net).values():
        stage.res_blocks = stage.res_blocks[:2]
    return module


def compiled_module():
    """With the graphs that were compiled counted, and computed as they are."""
    torch.compiler.reset()
    module, counter = short_module(), CompileCounter()
    compile_net(module.model.net, backend=counter, fullgraph=True)
    return module, counter


def callbacks():
    return [EMAWeightAveraging(decay=0.5), PreciseBatchNorm(2)]


def main():
    folder = Path(sys.argv[1])
    plain = short_module()
    result = {"losses of the net": fit(plain, folder, callbacks=callbacks())}
    compiled, counter = compiled_module()
    result["losses"] = fit(compiled, folder, callbacks=callbacks())
    result["graphs"] = counter.frame_count
    wanted, found = plain.state_dict(), compiled.state_dict()
    result["same keys"] = list(wanted) == list(found)
    result["largest difference"] = max(
        (wanted[name] - found[name]).abs().max().item() for name in wanted
    )
    result["losses of the bare net"] = fit(short_module(), folder)
    bare, counter = compiled_module()
    result["losses without callbacks"] = fit(bare, folder)
    result["graphs without callbacks"] = counter.frame_count
    wrapped, counter = compiled_module()
    strategy = DDPStrategy(process_group_backend="gloo")
    result["losses under ddp"] = fit(wrapped, folder, strategy=strategy)
    result["graphs under ddp"] = counter.frame_count
    mixed, counter = compiled_module()
    result["loss of validation under bf16"] = fit(mixed, folder, precision="bf16-mixed")[-1]
    result["graphs under bf16"] = counter.frame_count
    plain.load_state_dict(mixed.state_dict())
    (metrics,) = make_trainer(folder).validate(plain, Data(), verbose=False)
    result["loss of validation in float32"] = metrics["val/loss"]
    print(json.dumps(result))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
