"""The families of 3-D ResNets: their stages, depths, temporal kernels and head modes."""

from collections.abc import Sequence
from typing import Literal, get_args

Stage = Literal["res2", "res3", "res4", "res5"]
STAGES: tuple[Stage, ...] = get_args(Stage)

Depth = Literal[50, 101]
STAGE_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

TemporalKernels = Sequence[Sequence[int]]
SLOW_KERNELS: TemporalKernels = ((1,), (1,), (3,), (3,))
I3D_KERNELS: TemporalKernels = ((3,), (3, 1), (3, 1), (1, 3))
C2D_KERNELS: TemporalKernels = ((1,), (1,), (1,), (1,))

HeadMode = Literal["adaptive", "fcn_logit", "fcn_prob"]
