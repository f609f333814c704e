"""Validation of arguments that take one of a few words."""

from collections.abc import Iterable


def check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``allowed``."""
    if value not in (allowed := tuple(allowed)):
        raise ValueError(f"{name} is {value!r}; choose one of {', '.join(allowed)}")
