from pathlib import Path

from gcvideo.comparison._page import report_page
from gcvideo.comparison._results import Comparison
from gcvideo.comparison._table import csv_table, markdown_table


def write_report(comparison: Comparison, folder: str | Path) -> None:
    """Write ``table.csv``, ``table.md`` and ``report.html``, a page that needs nothing else.

    Equal comparisons give equal bytes. Files of an earlier report are replaced once the new ones are
    complete.

    Args:
        comparison: may be unfinished; what is missing is shown.
        folder: made if need be.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "table.csv": csv_table(comparison),
        "table.md": markdown_table(comparison),
        "report.html": report_page(comparison),
    }
    for name, text in contents.items():
        draft = folder / f".{name}.draft"
        # Names of classes are names of folders, which need not be UTF-8.
        draft.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        draft.replace(folder / name)
