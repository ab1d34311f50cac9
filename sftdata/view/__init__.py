"""Looking at prepared data: read-only."""
