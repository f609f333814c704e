"""What the words of a command on videos name."""

from omegaconf import DictConfig

from gcvideo.command._output_check import STANDARD_OUTPUT
from gcvideo.command._sweep_summary import is_sweep


def sources_of(cfg: DictConfig) -> list[str]:
    """The words of the key ``video``; ValueError for other keys that contradict each other."""
    if cfg.stride_seconds is not None and cfg.num_clips != 1:
        raise ValueError(
            f"num_clips is {cfg.num_clips}, but with stride_seconds every window is one clip; leave "
            "num_clips out"
        )
    if cfg.output == STANDARD_OUTPUT and is_sweep():
        raise ValueError(
            "output is -, but with -m the standard output also has lines on the jobs; give a file"
        )
    return [str(cfg.video)] if isinstance(cfg.video, str | int) else list(map(str, cfg.video))
