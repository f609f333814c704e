"""Checks of a machine before it trains: ``gcvideo doctor``."""
