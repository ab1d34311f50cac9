"""What a check found: a line that passes, warns or fails, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sftdata.errors import ModelError, SftDataError, pluralize
from sftdata.settings.layout import fold

Status = Literal["pass", "warn", "fail"]


WIDTH = 9  # of the longest name of a check


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str  # of the check: tokenizer, template, ...
    status: Status
    what: str  # what was found, with its figures
    todo: str = ""  # what to do, where it does not pass
    figures: Mapping[str, Any] = field(default_factory=dict)  # the same figures as numbers
    where: str = ""  # the file or model that is wrong, where there is one

    @property
    def in_words(self) -> str:
        """What was found, and where."""
        return f"{self.where}: {self.what}" if self.where else self.what


def of_error(name: str, error: SftDataError) -> Finding:
    """A failed check, from the error that it would raise in a run."""
    return Finding(name, "fail", error.what, error.hint, where=error.where)


def lines(findings: Iterable[Finding], width: int = 10_000) -> list[str]:
    """A line for each check, and below those that do not pass what to do. Long ones are folded between words."""
    printed = []
    for one in findings:
        printed += fold(one.in_words, width, f"{one.status}  {one.name:<{WIDTH}}  ")
        if one.todo and one.status != "pass":
            printed += fold(one.todo, width, f"{'':<{WIDTH + 8}}")
    return printed


def verdict(findings: Iterable[Finding]) -> str:
    """How many checks passed, warned and failed, in words."""
    statuses = [one.status for one in findings]
    passed, warned, failed = (statuses.count(status) for status in ("pass", "warn", "fail"))
    parts = [f"{passed} passed"]
    parts += [pluralize(warned, "warning")] if warned else []
    parts += [f"{failed} failed"] if failed else []
    return ", ".join(parts)


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings for programs: `ok`, and each check with its status, words and figures."""
    findings = list(findings)
    return {"ok": not any(one.status == "fail" for one in findings), "checks": [asdict(one) for one in findings]}


def warnings_of(findings: Iterable[Finding]) -> list[str]:
    """How the checks went, and a line for each that warns: what a run prints of them."""
    findings = list(findings)
    warned = [one for one in findings if one.status == "warn"]
    return [f"check  {verdict(findings)}", *(f"warn   {one.name}: {one.in_words}; {one.todo}" for one in warned)]


def raise_first_fail(findings: Iterable[Finding]) -> None:
    """Raise ModelError for the first check that failed."""
    for one in findings:
        if one.status == "fail":
            raise ModelError(one.where or one.name, one.what, one.todo)
