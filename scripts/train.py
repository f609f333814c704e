"""``python scripts/train.py ...`` is ``gcvideo train ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("train")
