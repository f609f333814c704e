"""Files of results that grow while a command works, and that a stopped command goes on with."""
