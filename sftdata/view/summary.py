"""What a dataset holds, in a few lines and two tables: the one source of what notebook, terminal and repr show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sftdata.reasons import REASONS
from sftdata.store.manifest import EncodingEntry, Manifest, SplitStats
from sftdata.view import control_chars

MAX_STRINGS = 5  # control strings to name
# Stripping is worth a word from so many answers on, or from this share of the packed rows.
MANY_ENDINGS, MANY_SHARE = 10, 0.01


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are shown. `text_columns` are set flush left, numbers flush right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[int]

    def lines(self) -> list[str]:
        """The table as aligned plain text, the head first."""
        cells = (self.head, *self.rows)
        widths = [max(len(row[at]) for row in cells) for at in range(len(self.head))]
        return [
            "  ".join(
                cell.ljust(width) if at in self.text_columns else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]


@dataclass(frozen=True, slots=True)
class Summary:
    """A title, a few figures a line each, and tables."""

    title: str
    lines: tuple[str, ...]
    tables: tuple[Table, ...]

    def __str__(self) -> str:
        blocks = [(self.title, *self.lines), *(table.lines() for table in self.tables)]
        return "\n\n".join("\n".join(map(control_chars.terminal_safe, block)) for block in blocks)


def summarize(name: str, manifest: Manifest, split: str | None = None) -> Summary:
    """The figures of a dataset, or of one split of it, from the manifest alone."""
    splits = {key: stats for key, stats in manifest.splits.items() if split in (None, key)}
    samples = sum(stats.samples for stats in splits.values())
    rows = sum(stats.rows for stats in splits.values())
    name = name if split is None else f"{split} of {name}"
    title = f"{name}: {pluralize(samples, 'sample')} in {pluralize(rows, 'row')} of at most {manifest.seq_len:,} tokens"
    template = f", template {manifest.template.source}" if manifest.template else ""
    encoder = f", encoder {manifest.encoding.encoder}" if manifest.encoding else ""
    lines = [
        f"tokenizer {manifest.tokenizer.source}{template}{encoder}",
        f"packing {manifest.packing.strategy}, seed {manifest.seed}, dataset hash {manifest.dataset_hash[:12]}",
    ]
    tables = [_splits_table(splits, manifest.seq_len)]
    if split is None:
        if manifest.encoding is not None:
            lines += _encoding_lines(manifest.encoding, manifest.counts.packed)
        lines += _privacy_lines(manifest)
        if manifest.mixture:
            tables.append(_mixture_table(manifest))
        tables.append(_funnel_table(manifest))
    return Summary(title, tuple(lines), tuple(tables))


def _encoding_lines(encoding: EncodingEntry, num_packed: int) -> list[str]:
    """What stood in the texts, and what was done to conversations that did not fit; nothing where nothing was."""
    lines = []
    if encoding.control_strings:
        named = [
            f"{control_chars.terminal_safe(hit.string)} {hit.count:,} x {hit.role}" for hit in encoding.control_strings
        ]
        kept = "kept as text unless stripped" if encoding.stripped_answers else "kept as text"
        lines.append(f"control strings in text, {kept}: {_first(named)}")
    if encoding.stripped_answers:
        lines.append(f"took control strings off the end of {pluralize(encoding.stripped_answers, 'answer')}")
    elif (endings := sum(encoding.trailing_control.values())) and (
        endings >= MANY_ENDINGS or endings >= MANY_SHARE * num_packed
    ):
        end = "ends" if endings == 1 else "end"
        strings = _first([control_chars.terminal_safe(string) for string in encoding.trailing_control])
        advice = "clean.strip_trailing_control: true would take it off"
        lines.append(f"{pluralize(endings, 'answer')} {end} in {strings}: {advice}")
    if encoding.split_conversations or encoding.overlong_turns:
        lost = f"; {pluralize(encoding.overlong_turns, 'turn')} in no window" if encoding.overlong_turns else ""
        lines.append(f"split {pluralize(encoding.split_conversations, 'conversation')} longer than a row{lost}")
    if encoding.cut_answers:
        lines.append(f"cut {pluralize(encoding.cut_answers, 'answer')}")
    return lines


def _privacy_lines(manifest: Manifest) -> list[str]:
    """The personal data that was found, by kind; nothing where none was."""
    if not manifest.privacy:
        return []
    mode = manifest.config.get("privacy", {}).get("mode")
    done = {"redact": "replaced", "drop": "dropped with their rows"}.get(mode, "left as they are")
    return [
        f"personal data, {done}: "
        + ", ".join(f"{n:,} {control_chars.terminal_safe(kind)}" for kind, n in manifest.privacy.items())
    ]


def _first(items: Sequence[str]) -> str:
    """The first few of many."""
    more = len(items) - MAX_STRINGS
    return ", ".join(items[:MAX_STRINGS]) + (f" and {more} more" if more > 0 else "")


def pluralize(number: int, noun: str) -> str:
    """`1 sample`, `1,200 samples`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def token_counts(num_tokens: int, num_trained: int) -> str:
    """How many tokens, and which share of them is trained."""
    return f"{pluralize(num_tokens, 'token')}, {num_trained:,} trained ({_share(num_trained, num_tokens)})"


def _splits_table(splits: dict[str, SplitStats], seq_len: int) -> Table:
    head = ("split", "shards", "rows", "samples", "tokens", "trained", "share", "fill")
    rows = [_splits_row(name, stats, seq_len) for name, stats in splits.items()]
    return Table(head, tuple(rows), frozenset({0}))


def _splits_row(name: str, stats: SplitStats, seq_len: int) -> tuple[str, ...]:
    counts = (stats.shards, stats.rows, stats.samples, stats.tokens, stats.trained_tokens)
    trained_share = _share(stats.trained_tokens, stats.tokens)
    return name, *(f"{number:,}" for number in counts), trained_share, _share(stats.tokens, stats.rows * seq_len)


def _mixture_table(manifest: Manifest) -> Table:
    """What each source was asked for and gave to the training split."""
    rows = [
        (
            entry.source,
            "-" if entry.asked is None else f"{entry.asked:.2%}",
            f"{entry.got:.2%}",
            f"{entry.trained_tokens:,}",
            f"{entry.available_tokens:,}",
            f"{entry.records:,}",
            f"{entry.copies:,}",
        )
        for entry in manifest.mixture
    ]
    head = ("source", "asked", "got", "trained", "available", "records", "copies")
    return Table(head, tuple(rows), frozenset({0}))


def _funnel_table(manifest: Manifest) -> Table:
    """From rows read to rows packed: each reason by itself, in the order of the stages."""
    counts = manifest.counts
    known: Sequence[str] = list(REASONS)
    rows = [("rows read", f"{counts.rows_read:,}", "")]
    dropped = [(reason, number) for reasons in counts.dropped.values() for reason, number in reasons.items()]
    for reason, number in sorted(dropped, key=lambda item: known.index(item[0]) if item[0] in known else len(known)):
        meaning = REASONS.get(reason, ("", ""))[1]
        example = f" (first: {counts.examples[reason]})" if reason in counts.examples else ""
        rows.append((f"- {reason}", f"{number:,}", meaning + example))
    rows.append(("rows packed", f"{counts.packed:,}", f"{_share(counts.packed, counts.rows_read)} of the rows read"))
    return Table(("fate", "rows", ""), tuple(rows), frozenset({0, 2}))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
