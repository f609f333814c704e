"""The commands in the documents of the project, as a reader would type them."""

import ast
import itertools
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gcvideo import cli

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    PROJECT / "README.md",
    *sorted((PROJECT / "docs").glob("*.md")),
    *sorted((PROJECT / "conf").glob("*.yaml")),
    *sorted((PROJECT / "conf" / "experiment").glob("*.yaml")),
]
_PROGRAM = re.compile(
    r"(?:[A-Z_]+=\S+ )?(?:gcvideo|python \S+\.py|torchrun|sbatch|pip install|pytest|make)(?: |$)"
)
_NAMES = sorted({name.partition(" ")[0] for name in cli.COMMANDS})
_SCRIPT = re.compile(r"scripts/\w+\.py|scripts/slurm/\w+\.sbatch")
# What looks like a command wherever it stands; "make" and "pytest" are words of prose too.
_TRACE = re.compile(
    rf"\bgcvideo (?:{'|'.join(_NAMES)})\b|\bpython \S+\.py|\btorchrun --|\bsbatch -|\bpip install "
    r"|\bpytest -"
)


class DocumentedCommand(NamedTuple):
    """A command line of a document.

    Args:
        document: path below the project.
        text: on one line, without its comment.
    """

    document: str
    text: str

    @property
    def argv(self) -> list[str]:
        """As a shell divides it, without an assignment to the environment in front."""
        words = shlex.split(self.text)
        return words[1:] if re.match(r"[A-Z_]+=", words[0]) else words

    @property
    def name(self) -> str | None:
        """Key of ``gcvideo.cli.COMMANDS``, "" for the list of them; None for a program of others."""
        return self._named[0]

    @property
    def words(self) -> list[str]:
        """What stands behind the name of a command of ours."""
        return self._named[1]

    @property
    def _named(self) -> tuple[str | None, list[str]]:
        program, *words = self.argv
        scripts = [word for word in words if _SCRIPT.fullmatch(word)]
        if scripts:  # behind python, torchrun or sbatch and its options
            words = words[words.index(scripts[0]) :]
            program = "gcvideo"
            if scripts[0].endswith("predict.sbatch") and words[1] in cli.COMMANDS:
                del words[0]  # its first word names another command
            else:
                words[0] = Path(words[0]).stem
        if program != "gcvideo":
            return None, words
        if not words:
            return "", []  # the list of commands
        two = " ".join(words[:2])
        return (two, words[2:]) if two in cli.COMMANDS else (words[0], words[1:])


def documented_commands() -> list[DocumentedCommand]:
    """The commands of all documents, each once."""
    found: dict[str, DocumentedCommand] = {}
    for path in DOCUMENTS:
        for text in commands_in(readable(path)):
            found.setdefault(text, DocumentedCommand(str(path.relative_to(PROJECT)), text))
    return list(found.values())


def readable(path: Path) -> str:
    """A document with its commands on one line each; of a configuration file its head, as Markdown."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        head = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
        # "# Words" becomes a line of prose, "#   gcvideo ..." one of an indented block.
        text = "\n".join(f" {line[1:]}" for line in head)
    return re.sub(r" \\\n *", " ", text)


def commands_in(text: str) -> Iterator[str]:
    """The commands in blocks of code and between backticks.

    Between backticks the name of a command alone is no command: `gcvideo check`, `torchrun`.

    Args:
        text: Markdown, with long commands on one line.
    """
    for kind, part in _parts(text):
        if kind == "code":
            # Behind two spaces or more stands a column of its own.
            columns = re.split(r"\s{2,}|\s&&\s|\n", re.sub(r"\s#\s.*", "", part))
            yield from (column for column in columns if _PROGRAM.match(column))
        elif kind == "prose":
            yield from (q for q in _quoted(part) if _PROGRAM.match(q) and not _is_name(q))


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Kind and text of the prose, the code and the Python of a document, in order."""
    fence, kinds = "", []
    lines = text.splitlines()
    for line in lines:
        if line.startswith("```"):
            fence = "" if fence else line[3:] or "code"
            kinds.append("fence")
        else:
            kinds.append(fence or ("code" if line.startswith("    ") else "prose"))
    pairs = zip(kinds, lines, strict=True)
    for kind, group in itertools.groupby(pairs, lambda pair: pair[0]):
        yield kind, "\n".join(line for _, line in group)


def _quoted(prose: str) -> Iterator[str]:
    return (" ".join(quoted.split()) for quoted in re.findall(r"`([^`]+)`", prose))


def _is_name(quoted: str) -> bool:
    words = quoted.split()
    return len(words) == 1 or (words[0] == "gcvideo" and " ".join(words[1:]) in cli.COMMANDS)


def programs_in(text: str) -> list[str]:
    """The blocks of Python, fenced or indented.

    Args:
        text: Markdown.
    """
    blocks = [(kind, textwrap.dedent(part)) for kind, part in _parts(text)]
    return [b for kind, b in blocks if kind == "python" or (kind == "code" and _is_python(b))]


def _is_python(block: str) -> bool:
    try:
        return bool(ast.parse(block).body)
    except SyntaxError:
        return False


def count_traces(text: str) -> int:
    """How often something like a command stands anywhere in a text."""
    return len(_TRACE.findall(text))


def count_names(text: str) -> int:
    """How often the name of a command stands alone between backticks."""
    prose = [part for kind, part in _parts(text) if kind == "prose"]
    return sum(map(count_traces, filter(_is_name, itertools.chain(*map(_quoted, prose)))))
