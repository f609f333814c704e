"""A command as the program knows it before it runs."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A command of the program.

    ``job`` is the "module:function" that gets the configuration ``conf/CONFIG.yaml``, or the words if
    there is none. ``plain`` are keys whose values may stand alone, in this order; the last takes all that
    follow if it ends in "*". With ``is_swept``, ``-m`` runs the command once per value, each with a run
    folder, and ``objective`` is the number that the sweep compares. ``has_failed`` tells from a result
    whether something could not be done.
    """

    summary: str
    job: str
    config: str | None = None
    plain: tuple[str, ...] = ()
    is_swept: bool = False
    objective: Callable[[Any], float | None] = lambda result: None
    has_failed: Callable[[Any], bool] = lambda result: False

    def find_job(self) -> Callable[[Any], Any]:
        """Import the function."""
        module, _, function = self.job.partition(":")
        return getattr(importlib.import_module(module), function)
