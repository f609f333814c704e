"""``gcvideo doctor``: checks whether a machine can train."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The finding of a check, with its values, and the remedy if it is not "ok".

    "warn" means that training is slower or fails in some cases; "fail" means that it does not work.
    """

    status: Literal["ok", "warn", "fail"]
    finding: str
    remedy: str = ""
