"""Overrides on a command line that mean what they say, whatever characters a path has."""

import re
from pathlib import Path

# With a slash it is neither a number nor null nor a truth value.
_PLAIN = re.compile(r"[\w.-]*/[\w./-]*", re.ASCII)


def override(key: str, value: str | Path) -> str:
    """``KEY=VALUE`` in Hydra's grammar, where the value is a text and nothing else."""
    text = str(value)
    if _PLAIN.fullmatch(text):
        return f"{key}={text}"
    # To OmegaConf "${" starts an interpolation. To Hydra a backslash only counts before a quote, and
    # the last quote ends the text.
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    text = re.sub(r"(\\+)$", r"\1\1", text)
    return f"{key}='{text}'"
