"""Evidence that is safe to show: short, on one line, without control characters or secrets."""

from __future__ import annotations

from sftdata.curate.privacy.redact import redact
from sftdata.curate.privacy.settings import PrivacyConfig
from sftdata.safe.addresses import mask_credentials
from sftdata.safe.control_chars import terminal_safe

MAX_CHARS = 80
HIDDEN = "not shown: the row contains personal data or a secret"


def excerpt(text: str, privacy: PrivacyConfig, max_chars: int = MAX_CHARS) -> str:
    """The start of a text. Secrets are replaced before it is cut, so that no part of one is left."""
    text = " ".join(redact(text, privacy)[0].split())
    return printable(text if len(text) <= max_chars else text[: max_chars - 1] + "…")


def printable(text: str) -> str:
    """A text with control characters and characters that cannot be encoded made visible."""
    return terminal_safe(mask_credentials(text).encode("utf-8", "backslashreplace").decode())
