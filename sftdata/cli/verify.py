"""`sftdata verify`: a dataset proven from its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sftdata.cli.shared import user_errors


def verify(folder: Annotated[Path, typer.Argument(metavar="DATASET", help="a folder that prepare wrote")]) -> None:
    """Prove a dataset from its files alone: checksums, counts, masks. Exits with 1 at the first thing that is wrong."""
    with user_errors():
        from sftdata.store.verify import verify as run

        stats = run(folder)
        print(
            f"{folder}: {stats.files} files, {stats.rows_read:,} rows read = {stats.packed:,} packed"
            f" + {stats.dropped:,} dropped; {stats.samples:,} samples, {stats.tokens:,} tokens,"
            f" {stats.trained_tokens:,} of them trained: everything holds"
        )
