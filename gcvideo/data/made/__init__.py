"""Videos that are made here: the demo set and the cue set."""
