"""The parts of a report on rows that were dropped: examples of each reason, and duplicates beside what they repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sftdata.errors import pluralize
from sftdata.reasons import REASONS, WHAT_HELPS
from sftdata.safe.control_chars import html_safe
from sftdata.view.find.texts import InputTexts, RowText
from sftdata.view.find.turns import SampleMessage
from sftdata.view.html.messages import messages_chat, pair_chat
from sftdata.view.html.text import code
from sftdata.view.outcome import share_text
from sftdata.view.report.gather import NEAR, PAIRS, SAME, Ledger, numbers_of, rows_at
from sftdata.view.report.samples import Rows
from sftdata.view.report.texts import MAX_BYTES, Masked, Names, chat, cut
from sftdata.view.summary import by_stage

PAIR_CHARS, PAIR_BYTES = 8_000, 12_000  # of each of two texts; of both as HTML
EXAMPLES_BYTES = 300_000  # of the texts of all examples

Row = Mapping[str, Any]


class DroppedRows:
    """The dropped rows that are shown, with their texts, read again from the files of the sources where these are.

    Raises DatasetError if the ledger is damaged.
    """

    def __init__(self, rows: Rows, ledger: Ledger, names: Names, masked: Masked, data: str | Path | None) -> None:
        self._ledger, self._names, self._masked, self._samples = ledger, names, masked, rows
        self._manifest = rows.manifest
        examples = [number for some in ledger.examples.values() for number in some]
        same = [number for reason in SAME for number in ledger.examples.get(reason, ())]
        self._pairs = [*ledger.near, *same[: PAIRS - len(ledger.near)]]
        self._rows = rows_at(rows.path, self._manifest, {*ledger.hits, *examples, *self._pairs})
        kept = [row["duplicate_of"] for at in self._pairs if (row := self._rows[at])["duplicate_of"] is not None]
        of_name = numbers_of(rows.path, self._manifest, kept)
        kept_rows = rows_at(rows.path, self._manifest, of_name.values())
        self._kept = {name: kept_rows[number] for name, number in of_name.items()}
        wanted = [*dict.fromkeys([*examples, *self._pairs, *ledger.hits])]
        self.texts = InputTexts(rows.path, self._manifest, data)
        read = self.texts.texts([*(self._rows[number] for number in wanted), *self._kept.values()])
        self._text = dict(zip(wanted, map(masked.row, read)))
        self._kept_text = dict(zip(self._kept, map(masked.row, read[len(wanted) :])))

    def row(self, number: int) -> tuple[Row, RowText]:
        """A row of the ledger that is shown, and what it says."""
        return self._rows[number], self._text[number]

    def examples(self) -> str:
        """Each reason with how many rows it cost, what it means, what helps, and examples."""
        read = self._manifest.counts.rows_read
        room = EXAMPLES_BYTES // max(1, sum(map(len, self._ledger.examples.values())))
        parts = []
        for stage, reasons in by_stage(self._manifest.counts):
            for reason, number in reasons:
                meaning, helps = REASONS.get(reason, ("", ""))[1], WHAT_HELPS.get(reason, "")
                chosen = self._ledger.examples.get(reason, ())
                rows = "".join(self._example(at, min(MAX_BYTES, room)) for at in chosen)
                few = f"{len(chosen)} of {number:,}, from the first to the last:" if 1 < len(chosen) < number else ""
                about = f"<p>{_with_code(helps)}</p>" if helps else ""
                about += f'<p class="dim">{few}</p>' if few else ""
                parts.append(
                    f'<details class="reason"><summary><b>{html_safe(reason)}</b> '
                    f"{pluralize(number, 'row')} ({share_text(number, read)}) "
                    f'<span class="dim">{html_safe(stage)}: {html_safe(meaning)}</span></summary>'
                    f"{about}{rows}</details>"
                )
        if not parts:
            return "<p>No row was dropped.</p>" if read else "<p>No row was read.</p>"
        return f"<p>What happened, and what helps; with up to five examples of each reason.</p>{''.join(parts)}"

    def _example(self, number: int, room: int) -> str:
        row, text = self.row(number)
        about = [self._names.text(row["detail"])] if row["detail"] else []
        if row["duplicate_of"]:
            similar = "" if row["similarity"] is None else f" (similarity {row['similarity']:.3f})"
            about.append(f"repeats {row['duplicate_of']}{similar}")
        head = f"{code(row['where'])} {self.source(row)}{html_safe(cut('; '.join(about)))}"
        said = self.not_shown("its text", text) if text.missing is not None else chat(text.messages, max_bytes=room)
        return f'<div class="eg"><p>{head}</p>{said}</div>'

    def source(self, row: Row) -> str:
        """Which source a row is of, where there are several and its name does not say it."""
        name = self._names.name(row["source"])
        is_said = len(self._manifest.parts.sources) < 2 or row["where"].startswith(f"{name}:")
        return "" if is_said else f'<span class="dim">of {html_safe(name)}</span> '

    def not_shown(self, what: str, text: RowText) -> str:
        """Why a text is not there; `what` is HTML."""
        why = html_safe(self._names.text(text.missing or ""))
        return f'<p class="dim">Not shown is {what}: {why}.</p>'

    def duplicates(self) -> str:
        """Near-duplicates beside the rows that they repeat, from the least to the most similar, and other ones."""
        counts, dedup = self._manifest.counts, self._manifest.parts.dedup
        if not self._pairs:
            is_on = dedup is not None and (dedup.near is not None or dedup.semantic is not None)
            off = f" Near-duplicates were not searched for: {code('dedup.near')} is off."
            return f"<p>None was found.{'' if is_on else off}</p>"
        near, same = len(self._ledger.near), len(self._pairs) - len(self._ledger.near)
        every = {what: sum(map(counts.dropped_as, some)) for what, some in (("near", NEAR), ("same", SAME))}
        said = ["What only one of the two has is marked."] if near else []
        if near:
            said.insert(0, f"{near:,} of {pluralize(every['near'], 'near-duplicate')}, the least similar first.")
        if same:
            repeat = "repeats another exactly, or begins" if every["same"] == 1 else "repeat another exactly, or begin"
            said.append(f"{same:,} of {pluralize(every['same'], 'row')} that {repeat} as it does.")
        return f"<p>{' '.join(said)}</p>{''.join(map(self._pair, self._pairs))}"

    def _pair(self, number: int) -> str:
        row, ours = self.row(number)
        kept = self._kept.get(row["duplicate_of"])
        theirs = RowText(missing="the ledger has no such row") if kept is None else self._text_of_kept(kept)
        similarity = "" if row["similarity"] is None else f", similarity {row['similarity']:.3f}"
        names = (f"{row['where']} (dropped{similarity})", f"{row['duplicate_of']} (kept)")
        return self.beside(names, ours, theirs)

    def _text_of_kept(self, row: Row) -> RowText:
        """The text of a kept row from its file, else from its sample."""
        text = self._kept_text[row["where"]]
        if text.missing is None:
            return text
        messages = self._samples.messages_of(row)
        return self._masked.row(RowText(messages)) if messages else text

    def beside(self, names: tuple[str, str], ours: RowText, theirs: RowText) -> str:
        """Two rows side by side; one text where they are equal, or where the other is not there."""
        if ours.missing is not None or theirs.missing is not None:
            notes = [
                self.not_shown(f"the text of {code(name)}", text)
                for name, text in zip(names, (ours, theirs), strict=True)
                if text.missing is not None
            ]
            known = [name for name, text in zip(names, (ours, theirs), strict=True) if text.missing is None]
            head = "".join(f"<p>{code(name)}</p>" for name in known)
            return f'<div class="eg">{head}{chat(ours.messages or theirs.messages)}{"".join(notes)}</div>'
        if ours.messages == theirs.messages:
            head = f"<p>{code(names[0])} and {code(names[1])} say the same</p>"
            return f'<div class="eg">{head}{chat(ours.messages)}</div>'
        return f'<div class="eg">{_fitting_pair(names, ours.messages, theirs.messages)}</div>'


def _fitting_pair(names: tuple[str, str], ours: Sequence[SampleMessage], theirs: Sequence[SampleMessage]) -> str:
    """Two conversations side by side, cut so that they are no large page."""
    size = PAIR_CHARS
    while size > 20:
        shown = pair_chat(names, *(list(_cut(messages, size)) for messages in (ours, theirs)))
        if len(shown.encode("utf-8", "replace")) <= PAIR_BYTES:
            return shown
        size //= 2
    return messages_chat(list(_cut(ours, size)))


def _cut(messages: Sequence[SampleMessage], size: int) -> Iterator[SampleMessage]:
    """The first messages with about this many characters together."""
    for message in messages:
        if size <= 0:
            return
        text = message.content
        yield message._replace(content=text if len(text) <= size else f"{text[:size]}\u2026")
        size -= len(text) + 1


def _with_code(text: str) -> str:
    """A sentence in which settings are between backticks."""
    return "".join(code(part) if at % 2 else html_safe(part) for at, part in enumerate(text.split("`")))
