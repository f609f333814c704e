"""What a check has found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What a check has seen.

    Args:
        status: "warn" if training works but slower or in some cases not, "fail" if it does not work.
        finding: with the values that were seen.
        remedy: what to do; empty if all is well.
    """

    status: Literal["ok", "warn", "fail"]
    finding: str
    remedy: str = ""
