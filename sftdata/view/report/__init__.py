"""The report of a dataset: one HTML page, or the card of a repository on the hub."""
