"""From an exception to the message that a user can act on."""

import re

from omegaconf.errors import MissingMandatoryValue

_USER_ERRORS = (
    FileNotFoundError,
    FloatingPointError,
    MissingMandatoryValue,
    ValueError,  # which those of descriptions, checkpoints and weights are
)
# What a job alone imports is known by name: `--help` must not wait for PyAV and Lightning.
_VIDEO_ERROR, _LIGHTNING_ERROR = "VideoReadError", "MisconfigurationException"
_TIME_ERROR = "UncompletedJobError"  # which submitit raises in a job when its time is up


def user_error(error: BaseException) -> str | None:
    """The mistake of the user at the root of an exception; None if it is a fault of the program.

    Values that a constructor named in the configuration does not take count as the user's.

    Hydra wraps what a constructor raises. A DataLoader worker's exception arrives as a RuntimeError
    that quotes the original.
    """
    cause: BaseException | None = error
    found = None
    while cause is not None:
        if type(cause).__name__ == "InstantiationException" and found is None:
            # Mostly a value of a wrong type; a deeper message, if there is one, says it better.
            found = f"{cause}\nlook at the values of that key"
        quoted = re.search(r"VideoReadError: (cannot read video .*)", str(cause))
        if quoted:
            return quoted[1]
        if isinstance(cause, MissingMandatoryValue):
            return (
                f"{cause.full_key} has no value; give it on the command line: {cause.full_key}=..."
            )
        name = type(cause).__name__
        if name == _TIME_ERROR:
            return (
                f"{cause} Raise hydra.launcher.timeout_min, or hydra.launcher.max_num_timeout, which is how "
                "often a job whose time is up may be requeued"
            )
        is_users = isinstance(cause, _USER_ERRORS) or name == _VIDEO_ERROR
        if is_users or (found is None and name == _LIGHTNING_ERROR):
            found = str(cause)
        cause = cause.__cause__
    return found
