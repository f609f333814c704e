"""Checks of a machine before it trains: ``python -m gcvideo.doctor``."""
