"""What became of a process that worked on an item, if it gave no result."""

import signal


class ProcessDiedError(Exception):
    """The process that worked on ``item`` died, through a crash in a decoder or a lack of memory."""

    def __init__(self, item: str, exit_code: int | None) -> None:
        super().__init__(item, exit_code)
        self.item, self.exit_code = item, exit_code

    def __str__(self) -> str:
        return (
            f"the process that worked on {self.item} died twice ({ending_of(self.exit_code)}); "
            "leave the item out, or free some memory if it ran out"
        )


class ProcessStuckError(ProcessDiedError):
    """The process that worked on ``item`` was killed, because it took longer than ``seconds``."""

    def __init__(self, item: str, seconds: float) -> None:
        super().__init__(item, None)
        self.args = (item, seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"the process that worked on {self.item} was killed after {self.seconds:g} seconds; leave the "
            "item out, or allow more time"
        )


def ending_of(exit_code: int | None) -> str:
    """An exit code in words."""
    if exit_code is not None and exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
