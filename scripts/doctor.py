"""``python scripts/doctor.py ...`` is ``gcvideo doctor ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("doctor")
