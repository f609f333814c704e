"""Times in words."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def duration(seconds: float) -> str:
    """A time as people say it: "40 s", "27 min", "3 h 20 min", "5 days 2 h"."""
    if round(seconds) < 2 * _MINUTE:
        return f"{round(seconds)} s"
    minutes = round(seconds / _MINUTE)
    if minutes < 2 * _MINUTE:
        return f"{minutes} min"
    if seconds < 2 * _DAY:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / _HOUR), 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def step_duration(seconds: float) -> str:
    """The time of a step, or of one video, to three digits: "25.3 ms", "1.25 s", "40 s"."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 10 else duration(seconds)
