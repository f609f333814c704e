"""Shapes of training clips and batches that change in cycles (multigrid)."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain, pairwise
from typing import NamedTuple


class ClipShape(NamedTuple):
    """A training clip: T frames, every tau-th frame of the video, and pixels of the square crop."""

    num_frames: int
    sampling_rate: int
    crop_size: int


class BatchShape(NamedTuple):
    """A training batch: ``factor`` times the base batch size, and what its clips look like."""

    factor: int
    clip: ClipShape


class LongCyclePhase(NamedTuple):
    """Epochs before ``end_epoch``, and after earlier phases, that share one long-cycle shape."""

    end_epoch: int
    shape: BatchShape


@dataclass(frozen=True, kw_only=True)
class MultigridSchedule:
    """The shapes of a whole training run, as ``Multigrid.schedule`` makes them."""

    phases: Sequence[LongCyclePhase]  # in order; the last ends with the run
    milestones: Sequence[int]  # epochs at which a stepwise rate drops
    # Crops, in pixels before rounding, of the batches before each one of the long-cycle shape.
    short_cycle: Sequence[float]
    bn_base_size: int  # clips that share one set of batch statistics

    @property
    def num_epochs(self) -> int:
        return self.phases[-1].end_epoch

    def long_cycle(self, epoch: float) -> BatchShape:
        """The base shape of an epoch; after the last one, that of the last."""
        shapes = (phase.shape for phase in self.phases if epoch < phase.end_epoch)
        return next(shapes, self.phases[-1].shape)

    def short_cycle_shapes(self, epoch: int) -> tuple[BatchShape, ...]:
        """What the batches of an epoch look like in turn: batch k has shape k mod their number."""
        base = self.long_cycle(epoch)
        shorter = (
            BatchShape(
                base.factor * round((base.clip.crop_size / crop) ** 2),
                base.clip._replace(crop_size=round(crop)),
            )
            for crop in self.short_cycle
        )
        return (*shorter, base)

    @property
    def crop_sizes(self) -> tuple[int, ...]:
        """All crops of the run, ascending."""
        return tuple(sorted({shape.clip.crop_size for shape in self._all_shapes()}))

    @property
    def largest_factor(self) -> int:
        """The largest factor of the batch size in the run."""
        return max(shape.factor for shape in self._all_shapes())

    def _all_shapes(self) -> list[BatchShape]:
        starts = [0, *(phase.end_epoch for phase in self.phases[:-1])]
        return [shape for epoch in starts for shape in self.short_cycle_shapes(epoch)]


@dataclass(frozen=True, kw_only=True)
class Multigrid:
    """Training on small clips in large batches first, at about constant cost per batch.

    With the base shape B x T x S x S (batch, frames, crop) and factors f:

        long cycle:   t = T f_t,  s = S f_s,  tau' = tau T / t,  b = B [T S^2 / (t s^2)]
        short cycle:  within an epoch in turn  s' = S f,  b' = b [(s / s')^2],  and (b, s) itself

    where [x] is the nearest whole number. T, S and s' are rounded to whole numbers and not to multiples
    of the stride: the nets are fully convolutional over space, and batch norm and pooling take any size.
    Nets that pool over time need two frames in the shortest clip.

    The long cycle runs once between any two milestones of the rate; a last phase at the base shape
    follows. With n_i the mean b / B of shape i over its short cycle, the shape gets the share
    n_i / sum(n) of the epochs of its cycle, so that all shapes have the same number of iterations. The
    last phase is shortened like the iterations before it. Everything is then stretched to
    ``epoch_factor`` times the base number of epochs.

    Sources: Wu et al., A Multigrid Method for Efficiently Training Video Models (arXiv:1912.00998),
    3; PySlowFast, utils/multigrid.py, whose numbers these are, to the last epoch. Differs from PySlowFast:
    clips of fewer frames always span the time of the base clip, where it draws tau' between tau and that;
    a long cycle works without a short one; without milestones (a cosine) the cycles end at ``cycle_ends``,
    where the paper only has stepwise rates.

    Args:
        long_cycle_factors: (f_t, f_s) in order; empty: no long cycle.
        short_cycle_factors: f in order; empty: no short cycle.
        epoch_factor: epochs of the run / epochs of the recipe.
        bn_base_size: clips that share one set of batch statistics, whatever the batch size.
        cycle_ends: ends of the long cycles if the rate has no milestones, as fractions of the run.

    Raises:
        ValueError: for factors outside (0, 1], a long cycle that does not end at the base shape, a
            short cycle with larger crops than the long one, other numbers that are not positive or
            ``cycle_ends`` that do not ascend within (0, 1).
    """

    long_cycle_factors: Sequence[Sequence[float]] = (
        (0.25, 0.5**0.5),
        (0.5, 0.5**0.5),
        (0.5, 1.0),
        (1.0, 1.0),
    )
    short_cycle_factors: Sequence[float] = (0.5, 0.5**0.5)
    epoch_factor: float = 1.5
    bn_base_size: int = 8
    # The milestones of PySlowFast's stepwise Kinetics recipe.
    cycle_ends: Sequence[float] = (94 / 239, 154 / 239, 196 / 239)

    def __post_init__(self) -> None:
        for factor in chain(self.short_cycle_factors, *self.long_cycle_factors):
            if not 0 < factor <= 1:
                raise ValueError(
                    f"a factor of the cycles is {factor:g}; shapes are at most the base shape: choose "
                    "factors in (0, 1]"
                )
        if self.long_cycle_factors and tuple(self.long_cycle_factors[-1]) != (1, 1):
            raise ValueError(
                f"long_cycle_factors end with {tuple(self.long_cycle_factors[-1])}; the rate drops and "
                "the run ends at the base shape: add [1, 1]"
            )
        smallest = min((s for _, s in self.long_cycle_factors), default=1.0)
        largest = max(self.short_cycle_factors, default=0.0)
        if largest > smallest + 1e-3:  # 0.7071 stands for the root of a half
            raise ValueError(
                f"short_cycle_factors go up to {largest:g}, the crops of the long cycle down to "
                f"{smallest:g}; short cycles shrink the crop: choose factors of at most {smallest:g}"
            )
        for name in ("epoch_factor", "bn_base_size"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"{name} is {getattr(self, name)} but must be positive; the paper has "
                    f"{name}={getattr(Multigrid, name)}"
                )
        ends = [0.0, *self.cycle_ends, 1.0]
        if any(left >= right for left, right in pairwise(ends)):
            raise ValueError(
                f"cycle_ends are {list(self.cycle_ends)}; give ascending fractions of the run, between "
                "0 and 1"
            )

    def schedule(
        self, base: ClipShape, *, num_epochs: int, milestones: Sequence[float] | None = None
    ) -> MultigridSchedule:
        """The shapes of a run whose recipe has that base shape and number of epochs.

        The run takes ``epoch_factor`` times as many epochs. ``milestones`` are the epochs of the recipe
        at which its rate drops. Raises ValueError if there is less than one epoch, a milestone after the
        last, or two drops of the rate in one epoch of the run.
        """
        if num_epochs * self.epoch_factor < 1:
            raise ValueError(
                f"num_epochs is {num_epochs} and epoch_factor {self.epoch_factor:g}; their product is "
                "the epochs of the run: give at least 1"
            )
        is_stepwise = milestones is not None
        if milestones is None:
            milestones = [end * num_epochs for end in self.cycle_ends]
        if milestones and milestones[-1] >= num_epochs:
            raise ValueError(
                f"the last milestone is {milestones[-1]:g} of {num_epochs} epochs; a long cycle ends "
                "there and a last phase follows: choose milestones below num_epochs"
            )
        short_cycle = tuple(base.crop_size * factor for factor in self.short_cycle_factors)
        if self.long_cycle_factors:
            phases, drops = self._long_cycles(base, short_cycle, num_epochs, milestones)
        else:
            phases = [LongCyclePhase(int(num_epochs * self.epoch_factor), BatchShape(1, base))]
            drops = [int(milestone * self.epoch_factor) for milestone in milestones]
        if is_stepwise and any(left >= right for left, right in pairwise(drops)):
            raise ValueError(
                f"num_epochs is {num_epochs}, in which the rate would drop at the epochs "
                f"{', '.join(map(str, drops))} of the run; each drop needs an epoch of its own: give more "
                "epochs or fewer milestones"
            )
        return MultigridSchedule(
            phases=tuple(phases),
            milestones=tuple(drops),
            short_cycle=short_cycle,
            bn_base_size=self.bn_base_size,
        )

    def _long_cycles(
        self,
        base: ClipShape,
        short_cycle: Sequence[float],
        num_epochs: int,
        milestones: Sequence[float],
    ) -> tuple[list[LongCyclePhase], list[int]]:
        """The phases, and the epochs of the run at which the rate drops."""
        shapes, means = [], []
        for frames_factor, crop_factor in self.long_cycle_factors:
            num_frames = max(1, round(base.num_frames * frames_factor))
            sampling_rate = round(base.sampling_rate * base.num_frames / num_frames)
            crop_size = round(base.crop_size * crop_factor)
            factors = [
                round(base.num_frames * base.crop_size**2 / (num_frames * crop**2))
                for crop in (*short_cycle, crop_size)
            ]
            shapes.append(BatchShape(factors[-1], ClipShape(num_frames, sampling_rate, crop_size)))
            means.append(sum(factors) / len(factors))
        lengths = [
            ((right - left) * mean / _added(means), shape)
            for left, right in pairwise([0, *milestones])
            for shape, mean in zip(shapes, means, strict=True)
        ]
        # Added up as in PySlowFast: the run may end on half an epoch, where the last bit decides.
        iterations = _added(
            length / mean
            for (length, _), mean in zip(lengths, means * len(milestones), strict=True)
        )
        saving = milestones[-1] / iterations if milestones else _added(means) / len(means)
        last = (num_epochs - milestones[-1] if milestones else num_epochs) / saving
        lengths.append((last * means[-1], shapes[-1]))
        stretch = num_epochs * self.epoch_factor / _added(length for length, _ in lengths)
        phases, end = [], 0.0
        for length, shape in lengths:
            end += length * stretch
            phases.append(LongCyclePhase(round(end), shape))
        drops = [phase.end_epoch for phase in phases[len(shapes) - 1 : -1 : len(shapes)]]
        if drops:
            # Half of the last phase keeps the rate before the last drop.
            drops[-1] = (drops[-1] + phases[-1].end_epoch) // 2
        return phases, drops


def _added(numbers: Iterable[float]) -> float:
    """Their sum, each addition rounded; since Python 3.12, ``sum`` rounds only the result."""
    return reduce(operator.add, numbers)
