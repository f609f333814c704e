"""``python scripts/probe.py ...`` is ``gcvideo probe ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("probe")
