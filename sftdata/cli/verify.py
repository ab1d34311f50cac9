"""`sftdata verify`: check that a dataset is complete and consistent."""

from __future__ import annotations

from sftdata.cli.shared import DatasetFolder, user_errors


def verify(folder: DatasetFolder) -> None:
    """Verify a dataset from its files alone. Checks checksums, counts and masks; exits with 1 at the first error."""
    with user_errors():
        from sftdata.errors import pluralize
        from sftdata.store.verify import verify as run

        stats = run(folder)
        print(
            f"{folder}: {pluralize(stats.files, 'file')}, {pluralize(stats.rows_read, 'row')} read ="
            f" {stats.packed:,} packed + {stats.dropped:,} dropped;"
            f" {pluralize(stats.samples, 'sample')}, {pluralize(stats.tokens, 'token')},"
            f" {stats.trained_tokens:,} of them trained: all checks passed"
            + ("" if stats.is_hashed else " (the manifest states no hash of itself: an earlier version wrote it)")
        )
