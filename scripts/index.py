"""``python scripts/index.py ...`` is ``gcvideo index ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("index")
