"""What a check found: a line that passes, warns or fails, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sftdata.errors import ModelError, SftDataError, plural

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str  # of the check: tokenizer, template, ...
    status: Status
    what: str  # what was found, with its figures
    todo: str = ""  # what to do, where it does not pass
    figures: Mapping[str, Any] = field(default_factory=dict)  # the same figures as numbers


def of_error(name: str, error: SftDataError) -> Finding:
    """A failed check, from the error that it would raise in a run."""
    return Finding(name, "fail", f"{error.where}: {error.what}", error.hint)


def lines(findings: Iterable[Finding]) -> list[str]:
    """A line for each check, and below those that do not pass what to do."""
    findings = list(findings)
    width = max((len(one.name) for one in findings), default=0)
    printed = []
    for one in findings:
        printed.append(f"{one.status}  {one.name:<{width}}  {one.what}")
        if one.todo and one.status != "pass":
            printed.append(f"{'':<{width + 8}}{one.todo}")
    return printed


def verdict(findings: Iterable[Finding]) -> str:
    """How many checks passed, warned and failed, in words."""
    statuses = [one.status for one in findings]
    passed, warned, failed = (statuses.count(status) for status in ("pass", "warn", "fail"))
    parts = [f"{passed} passed"]
    parts += [f"{warned} {plural('warning', warned)}"] if warned else []
    parts += [f"{failed} failed"] if failed else []
    return ", ".join(parts)


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings for programs: `ok`, and each check with its status, words and figures."""
    findings = list(findings)
    return {"ok": not any(one.status == "fail" for one in findings), "checks": [asdict(one) for one in findings]}


def raise_first_fail(findings: Iterable[Finding]) -> None:
    """Raise ModelError for the first check that failed."""
    for one in findings:
        if one.status == "fail":
            where, colon, what = one.what.partition(": ")
            raise ModelError(where if colon else one.name, what if colon else one.what, one.todo)
