"""``python scripts/predict.py ...`` is ``gcvideo predict ...``."""

from gcvideo.cli import main

if __name__ == "__main__":
    main("predict")
