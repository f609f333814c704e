"""The checkpoint that the folder of a run stands for."""

import shlex
from pathlib import Path

from gcvideo._hint import override

BEST = "best.ckpt"


class CheckpointError(ValueError):
    """A file that is not a checkpoint of this package, or that cannot be rebuilt."""


def checkpoint_file(path: str | Path, key: str = "checkpoint") -> Path:
    """The file itself; of the folder of a run, or of its checkpoints, the one of the best epoch.

    ``key`` is the word on the command line that takes the path.
    """
    given = Path(path)
    if not given.is_dir():
        return given
    folders = (given / "checkpoints", given)
    for folder in folders:
        if (folder / BEST).is_file():
            return folder / BEST
    others = sorted(file for folder in folders for file in folder.glob("[!.]*.ckpt"))
    if not others:
        raise CheckpointError(
            f"the folder '{path}' has no checkpoints; give the folder of a run, or a file"
        )
    # Not taken by itself: weights of the last epoch are no stand-in for those of the best.
    raise CheckpointError(
        f"the folder '{path}' has no {BEST}, only {', '.join(file.name for file in others)}; name one of "
        f"them, such as {shlex.quote(override(key, others[0]))}"
    )
