"""How much code there is: lines by room, repetition, private functions with one caller.

python .ci/size.py [TREE]

Lines are counted by what stands on them. A private function has one caller if its name is read once in
the package. Repetition: lines of code in windows of six lines that stand in more than one place, names
and numbers aside.
"""

import ast
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

WINDOW = 6


def kinds_of(source: str, tree: ast.Module) -> Counter[str]:
    """Lines of a module by kind."""
    lines = source.splitlines()
    count = Counter(
        files=1,
        lines=len(lines),
        blank=sum(not line.strip() for line in lines),
        comment=sum(line.lstrip().startswith("#") for line in lines),
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            count["imports"] += (node.end_lineno or 0) - node.lineno + 1
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            docstring = node.body[0]
            count["docstrings"] += (docstring.end_lineno or 0) - docstring.lineno + 1
    others = ("blank", "comment", "imports", "docstrings")
    count["code"] = count["lines"] - sum(count[kind] for kind in others)
    return count


def repeated_lines(sources: dict[Path, str]) -> int:
    """Lines of code that stand in more than one place."""
    places: dict[tuple[str, ...], list[tuple[Path, int]]] = defaultdict(list)
    for path, source in sources.items():
        imports = {
            line
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for line in range(node.lineno, (node.end_lineno or 0) + 1)
        }
        kept = [
            re.sub(r"\b[a-z_][a-z_0-9]*\b|\d+", "x", line.strip())
            for number, line in enumerate(source.splitlines(), start=1)
            if number not in imports and len(line.strip()) > 1
        ]
        for start in range(len(kept) - WINDOW + 1):
            places[tuple(kept[start : start + WINDOW])].append((path, start))
    repeated = [found for found in places.values() if len(found) > 1]
    lines = {
        (path, start + i) for found in repeated for path, start in found for i in range(WINDOW)
    }
    return len(lines)


def main(tree: Path) -> None:
    """Print the figures of a tree."""
    sources = {path: path.read_text("utf-8") for path in sorted((tree / "gcvideo").rglob("*.py"))}
    rooms: dict[str, Counter[str]] = defaultdict(Counter)
    names: Counter[str] = Counter()
    private: list[str] = []
    for path, source in sources.items():
        parsed = ast.parse(source)
        room = path.relative_to(tree / "gcvideo").parent.as_posix()
        rooms[room] += kinds_of(source, parsed)
        for node in ast.walk(parsed):
            if isinstance(node, ast.Name | ast.Attribute):
                names[node.id if isinstance(node, ast.Name) else node.attr] += 1
            elif isinstance(node, ast.FunctionDef) and re.match("_[^_]", node.name):
                private.append(node.name)
    rooms["all"] = sum(rooms.values(), Counter())
    kinds = ["files", "lines", "code", "docstrings", "imports", "comment", "blank"]
    print(f"{'room':24}" + "".join(f"{kind:>11}" for kind in kinds))
    for room, count in rooms.items():
        print(f"{room:24}" + "".join(f"{count[kind]:11}" for kind in kinds))
    for folder in ("tests", "benchmarks"):
        paths = (tree / folder).rglob("*.py")
        print(f"{folder:24}{'':11}{sum(len(p.read_text('utf-8').splitlines()) for p in paths):11}")
    print(
        f"private functions: {len(private)}, {sum(names[n] == 1 for n in private)} with one caller"
    )
    print(
        f"lines in windows of {WINDOW} that stand in more than one place: {repeated_lines(sources)}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
