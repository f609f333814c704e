"""Groups of videos that belong together, such as the clips of one source."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gcvideo.data.listing._listing import PATH_COLUMNS
from gcvideo.data.listing._table_file import Table, open_text


def read_groups(source: str | Path, *, root: str | Path) -> dict[str, str]:
    """The group of each video in a table with a column group and one of path, file, video or filename.

    Videos of a group were cut from one recording or show one person, so that they resemble each other.
    They must not be parted between training and validation, and are no independent evidence in a test.

    Args:
        source: file of the table, relative to ``root``, or to the working folder if it is not there.
        root: folder that relative paths of videos start from.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a column is missing, or a video has no group or two.
    """
    below = Path(root) / source
    file = below if below.is_file() else Path(source)
    if not file.is_file():
        raise FileNotFoundError(
            f"data.groups is '{source}', which is neither a file below '{root}' nor one below the working "
            "folder; give a table with the columns path and group"
        )
    groups: dict[str, str] = {}
    with open_text(file) as lines:
        table = Table(file, iter(lines))
        path_at, group_at = table.find(PATH_COLUMNS), table.find(("group",))
        if path_at is None or group_at is None:
            raise ValueError(
                f"{file} has the columns {', '.join(table.headings)}; a table of groups needs one called "
                f"group and one of {', '.join(PATH_COLUMNS)}"
            )
        for number, row in table:
            path, group = row[path_at], row[group_at]
            if not group or groups.setdefault(path, group) != group:
                reason = f"a second group, '{group}'" if group else "no group"
                raise ValueError(
                    f"{file}, row {number}: '{path}' has {reason}; give each video one"
                )
    return groups


def groups_of(paths: Sequence[str], groups: Mapping[str, str]) -> list[str]:
    """The group of each path; ValueError names a path that has none."""
    lacking = next((path for path in paths if path not in groups), None)
    if lacking is not None:
        raise ValueError(
            f"'{lacking}' has no group; data.groups must list every video, by the same path as the lists"
        )
    return [groups[path] for path in paths]
