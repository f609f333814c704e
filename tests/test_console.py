import re
import warnings
from pathlib import Path

import pytest
from rich.table import Table

from gcvideo._console import Console, transcript

PACKAGE = Path(__file__).resolve().parent.parent / "gcvideo"
NAMES = ["a[b]c.mp4", "[red]x[/red].mp4", "[/].mp4", "clip:smile:.mp4", "\\[a]\\"]


def shown(*what):
    console = Console(width=200)
    with console.capture() as capture:
        for item in what:
            console.print(item)
    return capture.get()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_whole_alone_in_a_table_and_in_a_status(name):
    table = Table(name, title=name, caption=name)
    table.add_row(name)
    assert shown(name) == f"{name}\n"
    assert shown(table).count(name) == 4
    status = Console(width=200).status(f"Writing {name}")
    assert f"Writing {name}" in shown(status.renderable)


def test_nothing_in_the_package_prints_by_another_console():
    other = re.compile(
        r"from rich import|import rich|from rich\.console import .*Console|get_console"
    )
    found = [p for p in PACKAGE.rglob("*.py") if other.search(p.read_text())]
    assert found == [PACKAGE / "_console.py"]


def test_no_bar_reads_its_description_as_markup():
    columns = [
        line
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text().splitlines()
        if "TextColumn(" in line
    ]
    assert columns
    assert all("markup=False" in line for line in columns)


def test_a_transcript_has_what_all_consoles_print_and_the_error(tmp_path, capsys):
    path = tmp_path / "run.log"
    path.write_text("before\n")
    table = Table("name")
    table.add_row(NAMES[0])

    def speak():
        with transcript(path):
            Console().print("one", "[b]x[/b]" * 30, soft_wrap=True)
            Console(stderr=True).print("two", table)
            raise ValueError("three \udcff")

    with pytest.raises(ValueError, match="three"):
        speak()
    Console().print("after")
    logged = path.read_text()
    assert logged.startswith(f"before\none {'[b]x[/b]' * 30}\ntwo\n")
    assert NAMES[0] in logged
    assert logged.endswith("ValueError: three \\udcff\n")
    assert "\x1b" not in logged
    assert "after" not in logged
    shown = capsys.readouterr()
    assert "one" in shown.out
    assert "two" in shown.err


def test_a_warning_is_in_the_transcript_and_still_shown(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda *given: shown.append(str(given[0])))
    with transcript(tmp_path / "run.log"), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("odd", UserWarning, stacklevel=1)
    assert shown == ["odd"]
    assert (tmp_path / "run.log").read_text() == "UserWarning: odd\n"
