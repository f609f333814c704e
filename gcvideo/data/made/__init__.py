"""Videos that are generated here: the demo set and the cue set."""
