from pathlib import Path

import gcvideo


def config_folder() -> Path:
    """The folder ``conf``: inside an installed package, beside the package in a clone."""
    package = Path(gcvideo.__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
