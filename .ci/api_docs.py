"""The Python API as HTML: the public names of each room.

python .ci/api_docs.py FOLDER

Exits with 1 if a link of a page leads nowhere.
"""

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pdoc

ROOMS = [
    "nn",
    "models",
    "weights",
    "data",
    "evaluation",
    "training",
    "inference",
    "attention",
    "comparison",
]


def public_names(module_name: str) -> list[str]:
    """Names that the ``__init__`` of a room gives to its users, those that it loads on first use among them."""
    module = importlib.import_module(module_name)
    if hasattr(module, "__all__"):
        return list(module.__all__)
    tree = ast.parse(inspect.getsource(module))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [alias.asname for node in imports for alias in node.names if alias.asname == alias.name]


def broken_links(folder: Path) -> list[str]:
    """Links between the pages of a folder that lead to no page or to no place on it."""
    script = re.compile(r"<script.*?</script>", re.DOTALL)
    pages = {p: script.sub("", p.read_text(encoding="utf-8")) for p in folder.rglob("*.html")}
    places = {path: set(re.findall(r'\bid="([^"]*)"', text)) for path, text in pages.items()}
    broken = []
    for path, text in pages.items():
        for link in re.findall(r'\bhref="([^"]*)"', text):
            address, _, place = unquote(link).partition("#")
            target = (path.parent / address).resolve() if address else path
            is_ours = "://" not in link and not link.startswith(("data:", "mailto:"))
            if is_ours and (target not in pages or (place and place not in places[target])):
                broken.append(f"{path.relative_to(folder)}: {link}")
    return broken


def _describe_hooks(thing: Any) -> None:
    """Keep Lightning's long texts on its hooks off our pages: their links lead to hooks that we lack."""
    for method in vars(thing).values() if inspect.isclass(thing) else ():
        if inspect.isfunction(method) and method.__doc__ is None:
            method.__doc__ = "A hook of the parent class."


def main(folder: Path) -> int:
    """Write the pages."""
    rooms = ["gcvideo", *(f"gcvideo.{room}" for room in ROOMS)]
    for room in rooms:
        module = importlib.import_module(room)
        module.__all__ = public_names(room)
        for name in module.__all__:
            _describe_hooks(getattr(module, name))
    pdoc.render.configure(docformat="google", show_source=False, math=False)
    pdoc.pdoc(*rooms, output_directory=folder)
    broken = broken_links(folder.resolve())
    print("\n".join([*broken, f"{len(rooms)} rooms in {folder}, {len(broken)} broken links"]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
