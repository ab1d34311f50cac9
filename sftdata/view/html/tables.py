"""Tables as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sftdata.view.layout import Table


def table_html(table: Table) -> str:
    """A table with its notes, each below its row."""

    def cells(values: Sequence[str], tag: str) -> str:
        kinds = (' class="l"' if at in table.text_columns else "" for at in range(len(values)))
        return "".join(f"<{tag}{kind}>{escape(value)}</{tag}>" for kind, value in zip(kinds, values, strict=True))

    def below(number: int) -> str:
        texts = table.notes[number] if table.notes else ()
        return "".join(f'<tr><td class="l dim" colspan="{len(table.head)}">{escape(text)}</td></tr>' for text in texts)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>{below(at)}" for at, row in enumerate(table.rows))
    return f"<table><thead><tr>{cells(table.head, 'th')}</tr></thead><tbody>{body}</tbody></table>"
