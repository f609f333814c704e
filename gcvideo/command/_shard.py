"""The part of the inputs that a process works on, where several share them."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from gcvideo.command._rank_config import started_elsewhere


@dataclass(frozen=True)
class Shard:
    """Inputs ``index``, ``index + count``, ``index + 2 count``, ...: long and short videos mix.

    Args:
        index: number of the part, counted from 0.
        count: number of parts.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The part that "0/4" names; ValueError for another text."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not int(found[1]) < int(found[2]):
            raise ValueError(
                f"shard is '{text}'; give the number of this part and the number of parts, such as 0/4, 1/4, "
                "2/4 and 3/4 for four processes"
            )
        return cls(int(found[1]), int(found[2]))

    def of(self, num_inputs: int) -> Int64[np.ndarray, " n"]:
        """Places of its inputs among all."""
        return np.arange(self.index, num_inputs, self.count)

    def path(self, output: Path) -> Path:
        """Where its results stand before they are merged into ``output``."""
        return output.with_name(f"{output.stem}.{self.index}-of-{self.count}{output.suffix}")


def find_shard(text: str | None) -> Shard | None:
    """The part that a key ``shard`` names; else that of this process under torchrun or srun.

    None if one process does everything. The tasks of an array are not taken for parts, because an array
    may as well differ in something else.
    """
    if text is not None:
        return Shard.parse(str(text))
    started = started_elsewhere()
    return None if started is None else Shard(*started)


def present_parts(output: Path, ending: str = "") -> dict[Shard, Path]:
    """Paths of those parts of ``output`` beside which a file with another ``ending`` exists, by part."""
    name = rf"{re.escape(output.stem)}\.(\d+)-of-(\d+){re.escape(output.suffix + ending)}"
    files = output.parent.iterdir() if output.parent.is_dir() else ()
    matches = [match for file in files if (match := re.fullmatch(name, file.name, re.DOTALL))]
    shards = sorted((int(m[2]), int(m[1])) for m in matches)
    return {(part := Shard(index, count)): part.path(output) for count, index in shards}


def find_parts(output: Path, ending: str) -> dict[Shard, Path]:
    """All parts of ``output``, as :func:`present_parts` finds them.

    Raises:
        ValueError: if there are parts out of several numbers of parts, or one is missing.
    """
    parts = present_parts(output, ending)
    counts = sorted({shard.count for shard in parts})
    if len(counts) > 1:
        raise ValueError(
            f"'{output}' has parts out of {' and out of '.join(map(str, counts))}; delete those that do not "
            "belong to it"
        )
    if parts and len(parts) < counts[0]:
        found = {shard.index for shard in parts}
        lacking = [f"{index}/{counts[0]}" for index in range(counts[0]) if index not in found]
        shown = ", ".join(lacking[:10]) + (", ..." if len(lacking) > 10 else "")
        raise ValueError(
            f"{len(lacking)} of the {counts[0]} parts of '{output}' are not there; run the command with "
            f"shard={shown}"
        )
    return parts
