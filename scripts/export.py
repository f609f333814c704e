"""``python scripts/export.py ...`` is ``gcvideo export ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("export")
