"""Everything that reads a dataset, for tests that craft one: what each reader says, in this process or in another.

Run as a program, it reads folders from standard input, a line each, and answers with a line of JSON: what each reader
said. So a test finds out if a reader ends its process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sftdata
from sftdata.errors import SftDataError
from sftdata.store.verify import verify
from sftdata.view.terminal import print_row, print_summary
from sftdata.view.why import explain

GOOD = "read"
MAX_BYTES = 8 << 30  # of address space: an allocation beyond it fails


def look(folder: Path) -> None:
    """All rows of a dataset, as a notebook shows them."""
    dataset = sftdata.open(folder)
    repr(dataset), dataset._repr_html_()
    for row in dataset:
        repr(row), row._repr_html_()


def inspect(folder: Path) -> None:
    """The summary and the first row, on a terminal."""
    dataset = sftdata.open(folder)
    print_summary(dataset)
    if len(dataset):
        print_row(dataset, 0, max_tokens=4096)


def why(folder: Path) -> None:
    """What happened to a row."""
    explain(folder, "chats.jsonl:1")


def train(folder: Path) -> None:
    """The rows to train on."""
    from sfttrain.data import open_shards

    opened = open_shards(folder)
    for split in opened.manifest.splits:
        rows = opened.rows(split)
        if rows is not None:
            rows[:]


READERS: dict[str, Callable[[Path], Any]] = {
    "verify": verify,
    "open": look,
    "inspect": inspect,
    "why": why,
    "train": train,
}


def readings(folder: Path) -> dict[str, str]:
    """What each reader says: GOOD, or the sentence of its error. Any other exception passes through."""
    said = {}
    for name, read in READERS.items():
        try:
            read(folder)
            said[name] = GOOD
        except SftDataError as error:
            said[name] = str(error)
    return said


def main() -> None:
    """Answer folders from standard input."""
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        answers.write(json.dumps(readings(Path(line.rstrip("\n")))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
