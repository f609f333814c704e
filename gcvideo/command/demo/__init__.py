"""The command ``demo``: a page on this machine that classifies videos dropped on it."""
