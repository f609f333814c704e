"""``python scripts/demo.py ...`` is ``gcvideo demo ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("demo")
