"""``python scripts/kinetics.py ...`` is ``gcvideo kinetics ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("kinetics")
