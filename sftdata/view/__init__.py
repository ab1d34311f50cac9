"""Views of prepared data, for notebooks and terminals. Read-only."""
