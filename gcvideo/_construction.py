"""Objects from plain descriptions: the part of a configuration that is stored in a checkpoint."""

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

TARGET, PARTIAL = "_target_", "_partial_"


class ConstructionError(ValueError):
    """A description of something that may not, or cannot, be built."""


def construct(description: Any, *, packages: Sequence[str] = ("gcvideo",)) -> Any:
    """Build an object from its description in nested dicts, lists and plain values.

    A dict with ``_target_`` calls that function or class with the other entries as keyword
    arguments; with ``_partial_: true`` it gives a ``functools.partial`` instead. This is the subset
    of Hydra's ``instantiate`` that nets and protocols use. Unlike Hydra it only imports from the
    top-level ``packages``, and only what they define themselves, so that a checkpoint from elsewhere
    cannot run arbitrary code. Raises ConstructionError for a target that is outside of ``packages``, does
    not exist or rejects its arguments.
    """
    build = functools.partial(construct, packages=packages)
    if isinstance(description, Mapping):
        values = {k: build(v) for k, v in description.items() if k not in (TARGET, PARTIAL)}
        if TARGET not in description:
            return values
        target = description[TARGET]
        factory = _import(target, packages)
        if description.get(PARTIAL):
            return functools.partial(factory, **values)
        try:
            return factory(**values)
        except TypeError as error:
            raise ConstructionError(
                f"{target} does not take the arguments {sorted(values)}: {error}; the checkpoint may "
                "come from another version of gcvideo"
            ) from error
    if isinstance(description, Sequence) and not isinstance(description, str):
        return [build(value) for value in description]
    return description


def _import(target: str, packages: Sequence[str]) -> Any:
    package = target.partition(".")[0]
    if package not in packages:
        raise ConstructionError(
            f"the description names {target!r}, but only {', '.join(packages)} may be imported; "
            f"if you trust it, allow it with packages=[..., {package!r}]"
        )
    module, _, name = target.rpartition(".")
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConstructionError(
            f"{target!r} does not exist in this version of gcvideo: {error}"
        ) from error
    # A module also contains what it imports, and this one contains a way around ``packages``.
    origin = str(getattr(factory, "__module__", "")) or "an unknown module"
    if origin == __name__ or origin.partition(".")[0] not in packages:
        raise ConstructionError(
            f"{target!r} is defined in {origin}, not in a module that may be built from; name a "
            f"function or class that {', '.join(packages)} itself defines"
        )
    return factory
