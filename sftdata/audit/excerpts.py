"""Evidence that can be shown to anybody: short, on one line, without control characters, without secrets."""

from __future__ import annotations

from sftdata.curate.privacy.redact import redact
from sftdata.curate.privacy.settings import PrivacyConfig
from sftdata.view.control_chars import terminal_safe

MAX_CHARS = 80
HIDDEN = "not shown, for the row holds personal data or a secret"


def excerpt(text: str, privacy: PrivacyConfig, max_chars: int = MAX_CHARS) -> str:
    """How a text begins. Secrets are replaced before it is cut, so that no half of one stays."""
    text = " ".join(redact(text, privacy)[0].split())
    return shown(text if len(text) <= max_chars else text[: max_chars - 1] + "…")


def shown(text: str) -> str:
    """A text with visible stand-ins for characters that a terminal would obey or that cannot be written."""
    return terminal_safe(text.encode("utf-8", "backslashreplace").decode())
