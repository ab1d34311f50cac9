"""Atomic file writes and checksums."""
