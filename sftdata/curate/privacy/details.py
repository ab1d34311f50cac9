"""What is written about rows: details of the ledger, notes and errors, without the secrets and personal data in them.

A detail quotes the row that it is about, and a quote may be cut in the middle of an address or a key. So what is looked
for is looked for in the row too, and every part of it that the detail shows is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sftdata.curate.privacy.settings import KINDS, Kind, PrivacyConfig
from sftdata.errors import SftDataError
from sftdata.safe.addresses import mask_credentials

MAX_CHARS = 500  # of a detail
SECRETS: tuple[Kind, ...] = ("private_key", "api_key")  # are masked with privacy: off too
_MAX_ROW_CHARS = 1 << 20  # of a row, in which a quote can be found again
_MAX_KNOWN = 1 << 14  # details that are remembered
_QUOTES = ("'", '"', "`", "\u2026", "...")  # without one of these a detail quotes nothing that may be cut
_MIN_PART, _MIN_CUT_PART = 8, 4  # characters of a secret that are taken for a part of it; where a quote ends
_EDGES = "'\"`\u2026."


@dataclass(frozen=True)
class Details:
    """Writes details. Secrets are always masked, personal data unless `privacy` is off."""

    privacy: PrivacyConfig
    _known: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def settings(self) -> PrivacyConfig:
        """What is looked for."""
        kinds = SECRETS if self.privacy.mode == "off" else tuple(dict.fromkeys((*SECRETS, *self.privacy.kinds)))
        return self.privacy.model_copy(update={"mode": "redact", "kinds": tuple(k for k in KINDS if k in kinds)})

    @property
    def key(self) -> str:
        """Everything that decides what is written, besides the detail and its row."""
        return self.settings.model_dump_json()

    def __call__(self, detail: str, row: object = None) -> str:
        """A detail for the ledger, in at most MAX_CHARS characters. `row` is what it may quote."""
        if row is not None and any(quote in detail for quote in _QUOTES):
            detail = self._without_parts(detail, row)
        known = self._known.get(detail)
        if known is None:
            known = self.mask(detail)
            known = known if len(known) <= MAX_CHARS else known[: MAX_CHARS - 1] + "\u2026"
            if len(self._known) < _MAX_KNOWN:
                self._known[detail] = known
        return known

    def mask(self, text: str) -> str:
        """A text of any length without secrets and personal data."""
        from sftdata.curate.privacy.redact import redact  # compiles large patterns

        return mask_credentials(redact(text, self.settings)[0])

    def _without_parts(self, detail: str, row: object) -> str:
        """The detail without what is secret or personal in the row, and without parts of it."""
        from sftdata.curate.privacy.redact import PLACEHOLDERS, find_private

        left = _MAX_ROW_CHARS
        for text in _texts(row):
            left -= len(text)
            if left < 0:
                break
            for found in find_private(text, self.settings):
                secret = text[found.start : found.end]
                for form in dict.fromkeys((secret, repr(secret)[1:-1])):
                    detail = _without(detail, form, PLACEHOLDERS[found.kind])
        return detail

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Errors of the block that a user can fix are raised without secrets and personal data."""
        try:
            yield
        except SftDataError as error:
            what, hint = self.mask(error.what), self.mask(error.hint)
            if (what, hint) == (error.what, error.hint):
                raise
            raise type(error)(error.where, what, hint) from None  # a cause would still show them


def _without(detail: str, secret: str, placeholder: str) -> str:
    """A detail with a placeholder for a secret: for all of it, or else for the longest part that a cut quote shows."""
    if secret in detail:
        return detail.replace(secret, placeholder)
    for length in range(len(secret) - 1, _MIN_CUT_PART - 1, -1):
        for part, is_head in ((secret[:length], True), (secret[-length:], False)):
            at = detail.find(part)
            if at < 0:
                continue
            edge = detail[at + length : at + length + 1] if is_head else detail[max(at - 1, 0) : at]
            if length >= _MIN_PART or edge in _EDGES:
                return detail.replace(part, placeholder)
    return detail


def _texts(value: Any) -> Iterator[str]:
    """The texts in a row, keys among them, and whole numbers as text."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, int) and not isinstance(one, bool):
            yield str(one)
        elif isinstance(one, Mapping):
            todo += [*one.values(), *one.keys()]
        elif isinstance(one, (list, tuple)):
            todo += one
