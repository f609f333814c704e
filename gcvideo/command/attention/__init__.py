"""The commands ``attention show`` and ``attention stats``."""
