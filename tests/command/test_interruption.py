import os
import signal

import pytest

from gcvideo.command._interruption import Interrupted, interruptible, undisturbed


def test_a_further_sigterm_changes_nothing_and_a_further_sigint_ends_at_once():
    with interruptible() as received:
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt) as caught:
            os.kill(os.getpid(), signal.SIGINT)
    assert not isinstance(caught.value, Interrupted)
    assert received == [signal.SIGTERM]


def test_a_signal_that_was_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible() as received:
            os.kill(os.getpid(), signal.SIGINT)
        assert received == []
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_what_must_not_be_disturbed(number):
    done = []
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def work():
        with undisturbed():
            os.kill(os.getpid(), number)
            done.append(1)
        done.append(2)

    with interruptible() as received, pytest.raises(Interrupted) as caught:
        work()
    assert caught.value.signal_number == number
    assert received == [number]
    assert done == [1]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_ignored_signal_stays_so_where_nothing_may_disturb():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
