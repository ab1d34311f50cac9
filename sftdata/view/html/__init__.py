"""What notebooks and reports show, as HTML: self-contained, right without scripts, on light and dark themes."""

from __future__ import annotations

from sftdata.store.manifest import Manifest
from sftdata.view.html.cells import dataset_html, manifest_html, summary_html
from sftdata.view.html.chat import row_html, rows_html, sample_chat, sample_html, samples_html
from sftdata.view.html.messages import message_chat, messages_chat, pair_chat
from sftdata.view.html.style import page
from sftdata.view.html.text import visible

Manifest.shown_by = manifest_html

__all__ = [
    "dataset_html",
    "manifest_html",
    "message_chat",
    "messages_chat",
    "page",
    "pair_chat",
    "row_html",
    "rows_html",
    "sample_chat",
    "sample_html",
    "samples_html",
    "summary_html",
    "visible",
]
