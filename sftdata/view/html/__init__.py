"""What notebooks and reports show, as HTML: self-contained, no JavaScript, readable on light and dark themes."""

from __future__ import annotations

from sftdata.view.html.card import summary_html
from sftdata.view.html.text import visible
from sftdata.view.html.tokens import row_html, sample_html

__all__ = ["row_html", "sample_html", "summary_html", "visible"]
