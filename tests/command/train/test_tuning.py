import functools
from typing import Any, cast

import numpy as np
import pytest
import torch
from quiet_trainer import make_trainer
from small_protocol import make_protocol
from torch.utils.data import DataLoader

from gcvideo.command.train._tuning import tune_batch_size
from gcvideo.data import VideoDataModule, VideoSplits
from gcvideo.data.listing._annotation import Annotations
from gcvideo.models import ClipClassifier, slow_resnet
from gcvideo.training import VideoClassifier

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")


class Data(VideoDataModule):
    """Random clips instead of videos."""

    def train_dataloader(self):
        self._check_batch_size(len(self.splits.train))
        return self.loader(len(self.splits.train))

    def val_dataloader(self):
        return self.loader(4)

    def num_batches(self, epoch):
        return len(self.train_dataloader())

    def loader(self, num_videos):
        source = torch.Generator().manual_seed(0)
        views = torch.randint(
            0, 256, (num_videos, 1, 3, 2, 16, 16), dtype=torch.uint8, generator=source
        )
        items = [
            {"views": view, "labels": torch.tensor([i % 2]), "video": torch.tensor(i)}
            for i, view in enumerate(views)
        ]
        return DataLoader[Any](
            cast(Any, items), batch_size=self.batch_size, drop_last=num_videos > 4
        )


class Limited(VideoClassifier):
    """A device whose memory holds so many views."""

    memory = 10_000

    def training_step(self, batch, batch_index):
        if batch["labels"].numel() > self.memory:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1 GiB.")
        return super().training_step(batch, batch_index)


def make_run(folder, num_videos=30, memory=10_000, **changes):
    net = slow_resnet(num_classes=2, width=1, dropout=0.0)
    module = Limited(
        ClipClassifier(net, mean=[0.45] * 3, std=[0.225] * 3),
        classes=["a", "b"],
        optimizer=functools.partial(torch.optim.SGD, momentum=0.9),
        lr=0.1,
        base_batch_size=64,
        views_per_step=4,
    )
    module.memory = memory
    paths = [f"{number}.mp4" for number in range(num_videos)]
    videos = Annotations(paths, np.arange(num_videos) % 2, ("a", "b"), "list.txt")
    data = Data(VideoSplits(videos, videos, videos), protocol=make_protocol(), batch_size=4)
    return make_trainer(folder, **changes), module, data


@pytest.mark.slow
def test_the_largest_batch_that_fits_is_found_and_the_rate_follows(tmp_path):
    trainer, module, data = make_run(tmp_path, memory=13)
    before = {name: tensor.clone() for name, tensor in module.model.state_dict().items()}
    size = tune_batch_size(trainer, module, data)
    assert size == 12  # 13, less 5 %
    assert data.batch_size == size
    for name, tensor in module.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert list(tmp_path.rglob("*.ckpt")) == []
    trainer, _, _ = make_run(tmp_path)
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == 30 // size
    assert module.learning_rate == pytest.approx(0.1 * size / 64)


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "size"), [(10_000, 4), (4, 1)], ids=["fits", "does not"])
def test_all_videos_but_one_are_tried_and_half_of_them_taken_if_they_do_not_fit(
    tmp_path, memory, size
):
    trainer, module, data = make_run(tmp_path, num_videos=6, memory=memory)
    assert tune_batch_size(trainer, module, data) == size


@pytest.mark.slow
def test_the_search_ends_after_so_many_batches_that_fit(tmp_path):
    trainer, module, data = make_run(tmp_path)
    assert tune_batch_size(trainer, module, data, max_trials=3) == 3  # 4, less 5 %


def test_other_errors_are_not_taken_for_a_full_memory(tmp_path):
    trainer, module, data = make_run(tmp_path)

    def fail(views, labels):
        raise RuntimeError("shapes do not match")

    module.mixing = fail
    with pytest.raises(RuntimeError, match="shapes do not match"):
        tune_batch_size(trainer, module, data)


def test_several_processes_are_refused(tmp_path):
    trainer, module, data = make_run(tmp_path, strategy="ddp", devices=2)
    with pytest.raises(ValueError, match=r"a run of 2 processes.*run it with trainer.devices=1"):
        tune_batch_size(trainer, module, data)
