import copy

from gcvideo.training._progress_checkpoint import num_batches_seen, settle_between_batches


def counts(ready, started, processed, completed):
    values = {"ready": ready, "started": started, "processed": processed, "completed": completed}
    return {"total": dict(values), "current": dict(values)}


def loops(epochs, batches, *, is_last_batch=False):
    return {
        "epoch_progress": counts(*epochs),
        "epoch_loop.batch_progress": counts(*batches) | {"is_last_batch": is_last_batch},
        "epoch_loop.val_loop.batch_progress": counts(4, 4, 4, 4),
    }


def test_a_batch_that_has_begun_counts_as_not_begun():
    state = loops((3, 3, 2, 2), (6, 5, 5, 5))
    settle_between_batches(state)
    assert state["epoch_loop.batch_progress"]["current"] == counts(5, 5, 5, 5)["current"]
    assert num_batches_seen(state) == (2, 5)


def test_an_epoch_that_has_begun_counts_as_not_begun():
    state = loops((3, 2, 2, 2), (8, 8, 8, 8), is_last_batch=True)
    settle_between_batches(state, accumulated=3)
    assert state["epoch_progress"]["total"] == counts(2, 2, 2, 2)["total"]
    assert state["epoch_loop.batch_progress"]["total"] == counts(8, 8, 8, 8)["total"]
    assert num_batches_seen(state) == (2, 0)


def test_batches_of_an_open_step_are_done_again():
    state = loops((1, 1, 0, 0), (5, 5, 4, 4), is_last_batch=True)
    settle_between_batches(state, accumulated=3)
    assert num_batches_seen(state) == (0, 3)
    assert not state["epoch_loop.batch_progress"]["is_last_batch"]


def test_a_pending_validation_starts_with_its_first_batch():
    state = loops((1, 1, 0, 0), (5, 5, 5, 5), is_last_batch=True)
    settle_between_batches(state, accumulated=3, validation_pending=True)
    assert num_batches_seen(state) == (0, 5)
    validation = state["epoch_loop.val_loop.batch_progress"]
    assert validation["total"] == counts(1, 1, 0, 0)["total"]
    before = copy.deepcopy(state)
    settle_between_batches(state, validation_pending=True)
    assert state == before
