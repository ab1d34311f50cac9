"""Small stages for the tests of engines, in a module of their own so that worker processes can import them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sftdata.errors import SourceError


@dataclass(frozen=True)
class Double:
    """Each row twice, with the columns beside it, in two tables."""

    name: str = "double"
    columns: tuple[str, ...] = ("x",)
    key: str = ""

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield table
        yield table


@dataclass(frozen=True)
class Sum:
    """The sum of a group's column `x`, and its number of rows."""

    name: str = "sum"
    columns: tuple[str, ...] = ("x",)
    key: str = ""

    def __call__(self, members: pa.Table, table: pa.Table) -> Iterator[pa.Table]:
        total = sum(table["x"].take(members["at"]).to_pylist())
        yield pa.table({"group": members["group"][:1], "sum": [total], "rows": [members.num_rows]})


@dataclass(frozen=True)
class Fail:
    """The rows as they are, but the piece that begins with 0 fails."""

    how: str  # user, ours, killed
    name: str = "fail"
    columns: tuple[str, ...] = ("x",)
    key: str = ""

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        if table["x"][0].as_py() == 0:
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "user":
                raise SourceError("a.jsonl", "is bad", "fix it")
            raise ZeroDivisionError("ours")
        yield table


@dataclass(frozen=True)
class Spread:
    """Each row n as n rows, in one table."""

    name: str = "spread"
    columns: tuple[str, ...] = ("x",)
    key: str = ""

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield pa.table({"x": pa.array([n for n in table["x"].to_pylist() for _ in range(n)], pa.int64())})


@dataclass(frozen=True)
class Pids:
    """The process that a piece was worked on in."""

    name: str = "pids"
    columns: tuple[str, ...] = ("x",)
    key: str = ""

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield pa.table({"pid": [os.getpid()]})


@dataclass(frozen=True)
class Logged:
    """The rows as they are; leaves a line in a file for every call."""

    log: Path
    key: str = ""
    reusable: bool = True
    name: str = "logged"
    columns: tuple[str, ...] = ("x",)

    def is_reusable(self, result: pa.Table) -> bool:
        return self.reusable

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        with self.log.open("a") as file:
            file.write(f"{table['x'].to_pylist()}\n")
        yield table
