"""``python scripts/test.py ...`` is ``gcvideo test ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("test")
