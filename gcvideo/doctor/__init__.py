"""``gcvideo doctor``: checks whether a machine can train."""

from functools import partial
from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """The finding of a check, with its values, and the remedy if it is not "ok".

    "warn" means that training is slower or fails in some cases; "fail" means that it does not work.
    """

    status: Literal["ok", "warn", "fail"]
    finding: str
    remedy: str = ""


ok, warn, fail = partial(Finding, "ok"), partial(Finding, "warn"), partial(Finding, "fail")
