"""``python scripts/convert.py ...`` is ``gcvideo convert ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("convert")
