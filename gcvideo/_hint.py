"""Words of a command line that mean what they say, whatever letters a path has."""

import re
import shlex
from pathlib import Path

# With a slash it is no number, no null and no truth value.
_PLAIN = re.compile(r"[\w.-]*/[\w./-]*", re.ASCII)


def override(key: str, value: str | Path) -> str:
    """``KEY=VALUE`` in the grammar of Hydra, where the value is a text and nothing else.

    Args:
        key: of a configuration.
        value: with any letters, such as a path.
    """
    text = str(value)
    if _PLAIN.fullmatch(text):
        return f"{key}={text}"
    # To OmegaConf "${" starts an interpolation. To Hydra a backslash counts in front of a quote alone,
    # of which the last one ends the text.
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    text = re.sub(r"(\\+)$", r"\1\1", text)
    return f"{key}='{text}'"


def command(*words: str) -> str:
    """Words as they are typed into a shell.

    Args:
        words: the program and its arguments, such as those of :func:`override`.
    """
    return shlex.join(words)
