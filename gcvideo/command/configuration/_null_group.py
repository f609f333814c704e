"""``GROUP=null`` on a command line, which Hydra itself does not understand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf


class NullGroupError(ValueError):
    """A group of the configuration without which a command cannot do."""


def without_null_groups(
    words: Sequence[str], config_folder: Path, config_name: str
) -> tuple[str, ...]:
    """The words with what null stands for: the choice ``none`` of a group, or its default.

    Args:
        words: of the command line.
        config_folder: absolute path of ``conf``.
        config_name: of a file in it.

    Raises:
        NullGroupError: if the group has no such choice.
    """
    optional = _null_defaults(config_folder / f"{config_name}.yaml")
    found = (_named(word, config_folder, optional) for word in words)
    return tuple(word for word in found if word is not None)


def _named(word: str, config_folder: Path, optional: frozenset[str]) -> str | None:
    group, _, text = word.partition("=")
    choices = text.split(",")
    if not group.isidentifier() or "null" not in map(str.lower, choices):
        return word
    folder = config_folder / group
    if not folder.is_dir():
        return word
    if (folder / "none.yaml").is_file():
        return f"{group}=" + ",".join("none" if c.lower() == "null" else c for c in choices)
    if len(choices) == 1 and group in optional:
        return None
    names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise NullGroupError(f"'{word}': there is no run without a {group}; choose one of {names}")


def _null_defaults(file: Path) -> frozenset[str]:
    content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    groups = [entry for entry in content.get("defaults", []) if isinstance(entry, dict)]
    return frozenset(group for entry in groups for group, choice in entry.items() if choice is None)
