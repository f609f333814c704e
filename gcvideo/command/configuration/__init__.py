"""From the words of a command line to a configuration that has been checked."""
