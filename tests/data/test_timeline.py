import inspect

from gcvideo.data import timeline


def test_streams_without_a_rate_take_it_from_the_duration() -> None:
    class Stream:
        average_rate = guessed_rate = None

    class Container:
        duration = 2_000_000

    rate = inspect.unwrap(timeline._frames_per_second)
    assert rate(Container(), Stream(), 60) == 30
    Container.duration = None
    assert rate(Container(), Stream(), 60) == 25
