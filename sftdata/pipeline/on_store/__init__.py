"""A dataset that is written to a store."""
