"""Where in the run a checkpoint stands, as Lightning's loops count it."""

from typing import Any

Loops = dict[str, Any]


def settle_between_batches(
    loops: Loops, *, accumulated: int = 1, validation_pending: bool = False
) -> None:
    """Count a batch or an epoch that has begun but not ended as not begun.

    Lightning saves its counters as they stand, so a checkpoint written in a hook at the start of a
    batch would skip that batch. A settled one stands between two batches, or between two epochs, and
    a run that starts from it does exactly what was still to be done.

    Args:
        loops: ``checkpoint["loops"]["fit_loop"]``; changed in place.
        accumulated: batches per optimizer step; those of a step that was not taken count as not begun.
        validation_pending: all batches of the epoch are done, its validation is not.
    """
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    in_open_step = 0
    if epochs["current"]["started"] > epochs["current"]["completed"] and not validation_pending:
        in_open_step = batches["current"]["completed"] % accumulated
        batches["is_last_batch"] = False
    for counts in _counts(batches):
        done = counts["completed"] - in_open_step
        counts["ready"] = counts["started"] = counts["processed"] = counts["completed"] = done
    for counts in _counts(epochs):
        if counts["started"] == counts["completed"]:
            counts["ready"] = counts["completed"]
    if validation_pending:
        # As if its first batch had begun, which is how Lightning knows a validation to go back to.
        for counts in _counts(loops["epoch_loop.val_loop.batch_progress"]):
            counts["ready"] = counts["started"] = 1
            counts["processed"] = counts["completed"] = 0


def num_batches_seen(loops: Loops) -> tuple[int, int]:
    """The epoch that a settled checkpoint goes on with, and how many of its batches were seen."""
    epochs = loops["epoch_progress"]["current"]
    if epochs["started"] == epochs["completed"]:
        return epochs["completed"], 0
    return epochs["completed"], loops["epoch_loop.batch_progress"]["current"]["completed"]


def _counts(progress: dict[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    return progress["total"], progress["current"]
