"""Where the time of a training goes, and what helps if it waits for its data."""

import math
from dataclasses import dataclass

from gcvideo._invocation import command_line


@dataclass
class DataWait:
    """Seconds of one device and of its workers since the start of an epoch."""

    fetching: float = 0.0  # the device is idle and no batch is there
    transferring: float = 0.0  # a batch moves to the device
    stepping: float = 0.0  # the device computes
    views: int = 0  # of these steps
    decoding: float = 0.0  # summed over the workers, as is the next
    transforming: float = 0.0
    videos: int = 0  # that the workers decoded and transformed

    @property
    def seconds(self) -> float:
        """All the time of the device."""
        return self.fetching + self.transferring + self.stepping

    @property
    def share(self) -> float:
        """Of the time in which the device waits, for the workers or for the transfer."""
        return (self.fetching + self.transferring) / self.seconds if self.seconds else 0.0


def describe_data_wait(
    waits: DataWait, *, num_workers: int, pin_memory: bool, num_devices: int, num_cores: int
) -> str:
    """Which stage makes the device wait that waits most, and what helps.

    ``num_devices`` devices share the ``num_cores`` cores of the machine.
    """
    start = f"the device waits for data {waits.share:.0%} of the time: "
    if waits.transferring >= waits.fetching:
        return start + _describe_transfer(waits, pin_memory)
    text = start + _describe_workers(waits, num_workers, max(1, num_cores // num_devices))
    if waits.decoding >= waits.transforming:
        return (
            f"{text}; decoding gets faster with videos made small by `{command_line('reencode')}` "
            "(short_side=256 gop_size=16) and, if there is none yet, a frame index by "
            f"`{command_line('index')}`"
        )
    return f"{text}; a transform with fewer steps is faster, such as transform=jitter_crop"


def _describe_transfer(waits: DataWait, pin_memory: bool) -> str:
    seconds = waits.transferring / waits.views
    remedy = (
        "batches lie in pinned memory already; fewer or smaller frames (num_frames, crop_size) move "
        "faster, and a larger batch_size moves in fewer turns"
        if pin_memory
        else "batches do not lie in pinned memory, see pin_memory of VideoDataModule; a larger "
        "batch_size moves in fewer turns"
    )
    return (
        f"the transfer to it takes {waits.transferring / waits.seconds:.0%} of the time "
        f"({seconds:.2g} s per clip); {remedy}"
    )


def _describe_workers(waits: DataWait, num_workers: int, num_cores: int) -> str:
    loading = max(waits.decoding + waits.transforming, 1e-9)
    stage, seconds = max(
        ("decoding", waits.decoding), ("transforming", waits.transforming), key=lambda s: s[1]
    )
    # Seconds per clip x clips per second of the device.
    needed = math.ceil(loading / waits.stepping)
    owner = "the workers'" if num_workers else "the loading"
    text = (
        f"{stage} takes {seconds / loading:.0%} of {owner} time "
        f"({seconds / waits.videos:.2g} s per video); the device could do "
        f"{waits.views / waits.stepping:.3g} clips/s, for which it needs {needed} cores and has {num_cores}"
    )
    if not num_workers:
        text = f"there are no worker processes, so each step waits for its own videos; {text}"
    if needed <= num_workers:
        return (
            f"{text}, and {num_workers} workers: other programs on these cores hold them up, "
            "or the epochs are short, for the first batch of each is waited for"
        )
    if num_workers >= num_cores:
        return f"{text}: its {num_workers} workers use them all"
    return f"{text}: set num_workers={min(needed, num_cores)}"
