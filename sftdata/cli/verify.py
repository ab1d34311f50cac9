"""`sftdata verify`: check that a dataset is complete and consistent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.cli.shared import DatasetFolder, as_json_text, show, user_errors

if TYPE_CHECKING:
    from pathlib import Path

    from sftdata.store.verify import DatasetStats
    from sftdata.view.summary import Summary


def verify(
    folder: DatasetFolder,
    as_json: Annotated[bool, typer.Option("--json", help="print the checks, or what is wrong, as JSON")] = False,
) -> None:
    """Verify a dataset from its files alone. Checks checksums, counts and masks; exits with 1 at the first error."""
    with user_errors():
        from sftdata.errors import DatasetError
        from sftdata.remote.mirror import local_folder
        from sftdata.store.verify import verify as run

        try:
            place = local_folder(folder)
            stats = run(place)
        except DatasetError as error:
            if as_json:
                fault = {"where": error.where, "what": error.what, "hint": error.hint}
                print(as_json_text({"schema_version": 1, "dataset": folder, "is_valid": False, "fault": fault}))
            raise
        if as_json:
            print(as_json_text(_data(folder, stats)))
        else:
            show(_summary(folder, place, stats))


def _checks(stats: DatasetStats) -> list[tuple[str, int, str]]:
    """What was checked, how many of it, and what is so."""
    from sftdata.errors import plural, pluralize

    size = f"{stats.size_bytes / 1e6:,.1f} MB"
    hashed = "its own hash, and its numbers agree"
    unhashed = "its numbers agree; it states no hash of itself: an earlier version wrote it"
    rows = f"{pluralize(stats.rows_read, 'row')} read = {stats.packed:,} packed + {stats.dropped:,} dropped"
    return [
        ("manifest", 1, hashed if stats.is_hashed else unhashed),
        ("files", stats.files, f"{size}: all that are listed, with their checksums, and no others"),
        ("ledger", stats.rows_read, f"{rows}: each with one fate and its evidence"),
        (plural("sequence", stats.rows), stats.rows, "none too long, their samples side by side"),
        (plural("sample", stats.samples), stats.samples, "each in the ledger once, with its digest and its tokens"),
        (
            "trained tokens",
            stats.trained_tokens,
            f"of {pluralize(stats.tokens, 'token')}: behind a prompt that a server gives, up to an end of turn",
        ),
    ]


def _data(folder: str, stats: DatasetStats) -> dict[str, object]:
    checks = [{"check": name, "number": number, "text": text} for name, number, text in _checks(stats)]
    numbers = {name: getattr(stats, name) for name in type(stats).__dataclass_fields__}
    return {"schema_version": 1, "dataset": folder, "is_valid": True, "checks": checks, **numbers}


def _summary(folder: str, place: Path, stats: DatasetStats) -> Summary:
    """The checks as a list with a mark for each. `place` is where the dataset is on this machine."""
    from sftdata.store.config_parts import given_lines
    from sftdata.store.manifest import Manifest
    from sftdata.view.layout import Table
    from sftdata.view.summary import Summary

    mark = "\u2713" if (sys.stdout.encoding or "").lower().startswith("utf") else "ok"
    rows = tuple((mark, name, f"{number:,}", text) for name, number, text in _checks(stats))
    table = Table(("", "", "", ""), rows, frozenset({0, 1, 3}), has_head=False)
    given = given_lines(Manifest.load(place).parts)
    return Summary(f"{folder}: all checks passed", tuple(given), (table,))
