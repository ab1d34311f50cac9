"""The command line of sftdata."""
