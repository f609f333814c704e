from types import SimpleNamespace

import pytest
import torch
from small_data import make_module, random_crop
from small_protocol import make_protocol
from torchvision.transforms import v2

from gcvideo.data import (
    EpochBatchSampler,
    EpochSampler,
    SlowFastSampling,
    TrainingVideos,
    TrainTransform,
    read_annotations,
)
from gcvideo.data.loading._multigrid import ClipShape, Multigrid


def small_schedule(**changes):
    """Two long-cycle shapes, one shorter crop: batches of 8 and 2, then of 4 and 1 base sizes."""
    given = {
        "long_cycle_factors": [(0.5, 1), (1, 1)],
        "short_cycle_factors": [0.5],
        "epoch_factor": 2.0,
        "cycle_ends": [0.5],
    }
    return Multigrid(**(given | changes)).schedule(ClipShape(4, 2, 32), num_epochs=2)


def batches(num_videos, batch_size, epoch, *, rank=0, world_size=1, resumed=None):
    videos = EpochSampler(num_videos, seed=3, rank=rank, world_size=world_size)
    sampler = EpochBatchSampler(videos, batch_size, small_schedule())
    if resumed:
        sampler.resume(*resumed)
    sampler.sampler.set_epoch(epoch)
    return list(sampler), len(sampler)


def test_batches_take_the_sizes_and_shapes_of_the_cycle_in_turn():
    assert [end for end, _ in small_schedule().phases] == [2, 2, 4]
    short, full = ClipShape(2, 4, 16), ClipShape(2, 4, 32)
    found, length = batches(29, 1, 0)
    assert [(len(batch), batch[0][2]) for batch in found] == [
        *[(8, short), (2, full), (8, short), (2, full), (8, short)]
    ]
    assert length == 5
    assert all({key[2] for key in batch} == {batch[0][2]} for batch in found)
    # The last batch would have two videos, but only one is left.
    plain = [key[:2] for batch in found for key in batch]
    assert plain == list(EpochSampler(29, seed=3))[:28]
    found, length = batches(29, 1, 3)
    assert [len(batch) for batch in found] == [4, 1, 4, 1, 4, 1, 4, 1, 4, 1, 4]
    assert length == 11


@pytest.mark.parametrize("num_seen", [0, 1, 2, 3, 5])
def test_a_resumed_epoch_has_precisely_the_batches_that_are_left(num_seen):
    whole, length = batches(29, 1, 0)
    rest, resumed_length = batches(29, 1, 0, resumed=(0, num_seen))
    assert rest == whole[num_seen:]
    assert resumed_length == length
    assert batches(29, 1, 2, resumed=(0, num_seen)) == batches(29, 1, 2)


@pytest.mark.parametrize("num_videos", [28, 29, 57])
@pytest.mark.parametrize("epoch", [0, 3])
def test_two_ranks_with_half_the_batch_see_the_multigrid_batches_of_one(num_videos, epoch):
    shares = [batches(num_videos, 1, epoch, rank=rank, world_size=2)[0] for rank in (0, 1)]
    together = [{*a, *b} for a, b in zip(*shares, strict=True)]
    assert together == [set(batch) for batch in batches(num_videos, 2, epoch)[0]]


class Recorded(TrainTransform):
    """Keeps the levels of the frames that it is shown, which tell their numbers."""

    def __call__(self, clip, label, seed):
        self.levels = clip[:, 0, 0, 0].astype(int)
        return super().__call__(clip, label, seed)


def test_a_key_with_a_shape_becomes_a_clip_of_it_over_the_same_time(video_folder):
    transforms = {size: Recorded([v2.RandomCrop(size)]) for size in (16, 32)}
    dataset = TrainingVideos(
        read_annotations(video_folder, root=video_folder),
        protocol=make_protocol(sampling=SlowFastSampling()),
        transform=transforms[32],
        transforms=transforms,
        seed=1,
    )
    assert dataset[0, 3]["views"].shape == (1, 3, 4, 32, 32)
    full = transforms[32].levels
    small = dataset[0, 3, ClipShape(2, 4, 16)]
    assert small["views"].shape == (1, 3, 2, 16, 16)
    # The same window of 8 frames, of which two points are taken instead of four.
    assert transforms[16].levels.tolist() == full[[0, -1]].tolist()
    again = dataset[0, 3, ClipShape(2, 4, 16)]
    assert torch.equal(small["views"], again["views"])
    same = dataset[0, 3, ClipShape(4, 2, 32)]
    assert torch.equal(same["views"], dataset[0, 3]["views"])


def multigrid_module(root, **changes):
    given = {
        "transforms": {size: random_crop(size) for size in (16, 32)},
        "multigrid": small_schedule(),
        "batch_size": 1,
    }
    return make_module(root, **(given | changes))


@pytest.mark.usefixtures("unchecked")  # a stand-in for the trainer
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_made_for_an_epoch_gives_its_shapes_and_knows_its_length(
    video_folder, num_workers
):
    module = multigrid_module(video_folder, num_workers=num_workers)
    found = []
    for epoch in range(4):
        module.trainer = SimpleNamespace(global_rank=0, world_size=1, current_epoch=epoch)
        loader = module.train_dataloader()
        shapes = [tuple(batch["views"].shape) for batch in loader]
        assert len(loader) == len(shapes) == module.num_batches(epoch)
        found.append([(shape[0], shape[3], shape[4]) for shape in shapes])
    assert found[0] == found[1] == [(8, 2, 16), (2, 2, 32)]
    assert found[2] == found[3] == [(4, 4, 16), (1, 4, 32)] * 2


def test_statistics_are_taken_on_clips_of_the_base_shape(video_folder):
    loader = multigrid_module(video_folder).statistics_dataloader(0, 3)
    assert [tuple(batch["views"].shape) for batch in loader] == [(1, 1, 3, 4, 32, 32)] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 2}, "batches of 8 x batch_size = 16 videos but there are only 10 training"),
        (
            {"transforms": {32: TrainTransform([])}},
            r"crops of 16 pixels, .* are for \[32\]; pass one",
        ),
    ],
)
def test_multigrid_that_does_not_fit_the_data_is_refused(video_folder, changes, message):
    with pytest.raises(ValueError, match=message):
        multigrid_module(video_folder, **changes).train_dataloader()
