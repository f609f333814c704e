import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from gcvideo.data.loading._multigrid import BatchShape, ClipShape, Multigrid

KINETICS = {"base": ClipShape(32, 2, 224), "num_epochs": 239, "milestones": [94, 154, 196]}
# PySlowFast's own schedule for SLOWFAST_8x8_R50_stepwise_multigrid.yaml: end, batch factor, T, S.
PUBLISHED = [
    *[(73, 8, 8, 158), (110, 4, 16, 158), (142, 2, 16, 224), (158, 1, 32, 224)],
    *[(205, 8, 8, 158), (228, 4, 16, 158), (248, 2, 16, 224), (259, 1, 32, 224)],
    *[(291, 8, 8, 158), (308, 4, 16, 158), (322, 2, 16, 224), (329, 1, 32, 224)],
    (358, 1, 32, 224),
]


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
