from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from small_protocol import make_protocol
from torchvision.transforms import v2

from gcvideo.data import (
    EpochBatchSampler,
    EpochSampler,
    SlowFastSampling,
    TrainingVideos,
    TrainTransform,
    VideoDataModule,
    annotated_videos,
    read_annotations,
)
from gcvideo.data.multigrid import BatchShape, ClipShape, Multigrid

KINETICS = {"base": ClipShape(32, 2, 224), "num_epochs": 239, "milestones": [94, 154, 196]}
# PySlowFast's own schedule for SLOWFAST_8x8_R50_stepwise_multigrid.yaml: end, batch factor, T, S.
PUBLISHED = [
    *[(73, 8, 8, 158), (110, 4, 16, 158), (142, 2, 16, 224), (158, 1, 32, 224)],
    *[(205, 8, 8, 158), (228, 4, 16, 158), (248, 2, 16, 224), (259, 1, 32, 224)],
    *[(291, 8, 8, 158), (308, 4, 16, 158), (322, 2, 16, 224), (329, 1, 32, 224)],
    (358, 1, 32, 224),
]


def small_schedule(**changes):
    """Two long-cycle shapes, one shorter crop: batches of 8 and 2, then of 4 and 1 base sizes."""
    given = {
        "long_cycle_factors": [(0.5, 1), (1, 1)],
        "short_cycle_factors": [0.5],
        "epoch_factor": 2.0,
        "cycle_ends": [0.5],
    }
    return Multigrid(**(given | changes)).schedule(ClipShape(4, 2, 32), num_epochs=2)


def test_the_long_cycle_is_that_of_pyslowfast_for_its_kinetics_recipe():
    schedule = Multigrid().schedule(**KINETICS)
    found = [
        (end, shape.factor, shape.clip.num_frames, shape.clip.crop_size)
        for end, shape in schedule.phases
    ]
    assert found == PUBLISHED
    assert schedule.milestones == (158, 259, 343)
    assert schedule.num_epochs == 358


@pytest.mark.parametrize(
    ("clip", "factors", "num_epochs", "milestones", "epoch_factor", "ends"),
    [
        ((32, 2, 160), [(0.5, 0.75), (0.75, 1), (1, 1)], 129, [82], 1.5, (68, 109, 140, 194)),
        ((16, 4, 224), [(0.5, 1), (1, 1)], 239, [2, 118, 145], 0.5, (1, 1, 46, 68, 78, 83, 119)),
    ],
)
def test_a_run_of_half_an_epoch_more_is_rounded_as_in_pyslowfast(
    clip, factors, num_epochs, milestones, epoch_factor, ends
):
    """193.5 and 119.5 epochs: its own get_long_cycle_schedule at 287ec00, by the last bit of sums."""
    short = [0.4, 0.6] if len(factors) == 3 else [0.5, 0.5**0.5]
    schedule = Multigrid(
        long_cycle_factors=factors, short_cycle_factors=short, epoch_factor=epoch_factor
    ).schedule(ClipShape(*clip), num_epochs=num_epochs, milestones=milestones)
    assert tuple(phase.end_epoch for phase in schedule.phases) == ends


@pytest.mark.parametrize(
    "base", [ClipShape(32, 2, 224), ClipShape(8, 8, 224), ClipShape(16, 4, 128)]
)
def test_shapes_of_a_cycle_share_its_iterations_and_the_run_has_its_epochs(base):
    """From the definition, by counting batches instead of dividing epochs."""
    schedule = Multigrid().schedule(base, num_epochs=10_000, milestones=[5000, 8000])
    starts = [0, *(phase.end_epoch for phase in schedule.phases)]
    iterations = []
    for start, phase in zip(starts, schedule.phases, strict=False):
        sizes = [
            round(base.num_frames * base.crop_size**2 / (phase.shape.clip.num_frames * crop**2))
            for crop in (*schedule.short_cycle, phase.shape.clip.crop_size)
        ]
        iterations.append((phase.end_epoch - start) / np.mean(sizes))
    assert schedule.num_epochs == 15_000
    assert iterations[:4] == pytest.approx([iterations[0]] * 4, rel=2e-3)
    assert iterations[4:8] == pytest.approx([iterations[0] * 3 / 5] * 4, rel=2e-3)
    assert iterations[8] == pytest.approx(sum(iterations[:8]) * 2 / 8, rel=2e-3)


@pytest.mark.parametrize("num_frames", [8, 32, 64])
def test_every_shape_spans_the_time_of_the_base_clip_at_about_its_cost(num_frames):
    base = ClipShape(num_frames, 4, 224)
    schedule = Multigrid().schedule(base, num_epochs=100, milestones=[50])
    for epoch in range(schedule.num_epochs):
        for factor, clip in schedule.short_cycle_shapes(epoch):
            assert clip.num_frames * clip.sampling_rate == num_frames * 4
            cost = factor * clip.num_frames * clip.crop_size**2 / (num_frames * 224**2)
            assert 0.5 <= cost <= 1.01


def test_the_short_cycle_is_that_of_pyslowfast():
    """ShortCycleBatchSampler: batch sizes x 4, 2, 1 on full crops; x 2, 1, 1 on those of 158."""
    schedule = Multigrid().schedule(**KINETICS)

    def shapes(epoch):
        return [(s.factor, s.clip.crop_size) for s in schedule.short_cycle_shapes(epoch)]

    assert shapes(357) == [(4, 112), (2, 158), (1, 224)]
    assert shapes(120) == [(8, 112), (4, 158), (2, 224)]
    assert shapes(0) == [(16, 112), (8, 158), (8, 158)]
    assert schedule.crop_sizes == (112, 158, 224)
    assert schedule.largest_factor == 16


def test_without_a_long_cycle_epochs_and_milestones_are_stretched():
    schedule = Multigrid(long_cycle_factors=[]).schedule(**KINETICS)
    assert schedule.phases == ((358, BatchShape(1, KINETICS["base"])),)
    assert schedule.milestones == (141, 231, 294)
    assert len(schedule.short_cycle_shapes(0)) == 3


def test_without_a_short_cycle_all_batches_of_an_epoch_are_alike():
    schedule = Multigrid(short_cycle_factors=[]).schedule(**KINETICS)
    assert schedule.short_cycle_shapes(0) == (BatchShape(8, ClipShape(8, 8, 158)),)
    long = Multigrid(short_cycle_factors=[]).schedule(
        ClipShape(32, 2, 224), num_epochs=10_000, milestones=[9000]
    )
    lengths = np.diff([0, *(end for end, _ in long.phases[:4])])
    assert lengths / lengths[-1] == pytest.approx([8, 4, 2, 1], rel=2e-3)


def test_without_milestones_long_cycles_end_at_the_given_fractions():
    stepwise = Multigrid().schedule(**KINETICS)
    assert Multigrid().schedule(ClipShape(32, 2, 224), num_epochs=239) == stepwise
    halves = Multigrid(cycle_ends=[0.5]).schedule(ClipShape(32, 2, 224), num_epochs=100)
    assert len(halves.phases) == 5
    assert len(halves.milestones) == 1


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("long_short", {}),
        ("long", {"short_cycle_factors": []}),
        ("short", {"long_cycle_factors": []}),
    ],
)
def test_the_configurations_are_the_method_of_the_paper_or_one_of_its_cycles(
    project, name, changes
):
    node = OmegaConf.load(project / "conf" / "multigrid" / f"{name}.yaml")
    assert instantiate(node, _convert_="all") == Multigrid(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"short_cycle_factors": [1.5]}, r"a factor of the cycles is 1\.5; .* factors in \(0, 1\]"),
        ({"long_cycle_factors": [(0.5, 1)]}, r"end with \(0\.5, 1\); .*: add \[1, 1\]"),
        ({"short_cycle_factors": [0.9]}, r"go up to 0\.9, the crops .* down to 0\.7071"),
        ({"epoch_factor": 0.0}, r"epoch_factor is 0\.0 but must be positive; .* epoch_factor=1\.5"),
        ({"bn_base_size": 0}, "bn_base_size is 0 but must be positive; .* bn_base_size=8"),
        ({"cycle_ends": [0.5, 0.4]}, r"cycle_ends are \[0\.5, 0\.4\]; give ascending fractions"),
    ],
)
def test_cycles_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Multigrid(**changes)


@pytest.mark.parametrize(
    ("num_epochs", "milestones", "message"),
    [
        (0, None, r"num_epochs is 0 and epoch_factor 1\.5; .* at least 1"),
        (10, [5, 10], "the last milestone is 10 of 10 epochs; .* below num_epochs"),
    ],
)
def test_recipes_that_leave_no_epochs_are_refused(num_epochs, milestones, message):
    with pytest.raises(ValueError, match=message):
        Multigrid().schedule(ClipShape(8, 8, 224), num_epochs=num_epochs, milestones=milestones)


@pytest.mark.parametrize("factors", [[(0.5, 1), (1, 1)], []])
def test_two_drops_of_the_rate_in_one_epoch_are_refused(factors):
    multigrid = Multigrid(long_cycle_factors=factors, epoch_factor=0.25)
    message = (
        r"num_epochs is 9, .* at the epochs .*, 2 of the run; .* more epochs or fewer milestones"
    )
    with pytest.raises(ValueError, match=message):
        multigrid.schedule(ClipShape(4, 2, 32), num_epochs=9, milestones=[6, 7, 8])
    # Without steps of the rate these are but the ends of cycles.
    assert multigrid.schedule(ClipShape(4, 2, 32), num_epochs=9).num_epochs == 2


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


def make_module(root, **changes):
    given = {
        "protocol": make_protocol(),
        "transform": TrainTransform([v2.RandomCrop(32)]),
        "transforms": {size: TrainTransform([v2.RandomCrop(size)]) for size in (16, 32)},
        "multigrid": small_schedule(),
        "batch_size": 1,
        "num_workers": 0,
    }
    return VideoDataModule(annotated_videos(root=str(root)), **(given | changes))


@pytest.mark.usefixtures("unchecked")  # a stand-in for the trainer
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_made_for_an_epoch_gives_its_shapes_and_knows_its_length(
    video_folder, num_workers
):
    module = make_module(video_folder, num_workers=num_workers)
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
    loader = make_module(video_folder, batch_size=1).statistics_dataloader(0, 3)
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
        make_module(video_folder, **changes).train_dataloader()
