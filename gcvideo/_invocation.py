"""How the user calls a command, for messages that name one."""

import shlex
import sys
from pathlib import Path


def command_line(name: str) -> str:
    """The words that start a command on this machine: "gcvideo NAME", or its script in a clone."""
    word, _, rest = name.partition(" ")
    script = Path(sys.argv[0]).parent / f"{word}.py"
    if script.parent.name != "scripts" or not script.is_file():
        return f"gcvideo {name}"
    return f"python {shlex.quote(str(script))} {rest}".rstrip()
