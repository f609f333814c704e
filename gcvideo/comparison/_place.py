import re
from collections.abc import Sequence


def describe_blocks(blocks: Sequence[str]) -> str:
    """Count, kind and places of inserted blocks: "5 NonLocalBlock: res3.1,3 res4.0-2".

    Args:
        blocks: a place and a kind each, as "res3.1 ContextBlock".
    """
    kinds: dict[str, list[str]] = {}
    for block in blocks:
        place, _, kind = block.partition(" ")
        kinds.setdefault(kind or "block", []).append(place)
    parts = (f"{len(places)} {kind}: {_joined(places)}" for kind, places in kinds.items())
    return "; ".join(parts) or "none"


def _joined(places: Sequence[str]) -> str:
    indices: dict[str, list[int]] = {}
    for place in places:
        stage_and_index = re.fullmatch(r"(.+)\.(\d+)", place)
        if stage_and_index is None:
            return " ".join(places)
        indices.setdefault(stage_and_index[1], []).append(int(stage_and_index[2]))
    return " ".join(f"{stage}.{_ranges(numbers)}" for stage, numbers in indices.items())


def _ranges(numbers: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
