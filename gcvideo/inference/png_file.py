from pathlib import Path

from PIL import Image


def write_png(path: Path, image: Image.Image) -> None:
    """Write an image whole or not at all: an older one is replaced once the new one is complete."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        image.save(draft, "PNG")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
