"""The summary of a dataset: what happened to the rows, what is trained, and what to look at. Terminal, pipes, `--json`,
notebooks and reprs share it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sftdata.errors import pluralize
from sftdata.reasons import REASONS
from sftdata.safe.control_chars import terminal_safe
from sftdata.store.config_parts import given_lines
from sftdata.store.manifest import Counts, Manifest, SplitStats
from sftdata.view.layout import BOLD, PLAIN_WIDTH, Line, Table, paragraph, plain, shortened, width_of
from sftdata.view.notes import notes_on
from sftdata.view.outcome import DETAIL_WIDTH, Caution, Detail, Facts, Group, find_cautions, share_text

__all__ = ["Summary", "Table", "short_names", "summarize", "token_counts"]

SCHEMA_VERSION = 1  # of Summary.to_dict
MAX_WARNINGS = 5  # that are shown; --json has all
SHOWN_DETAILS, MIN_DETAIL = 2, 20  # of a reason; where they are shorter than this, its meaning is shown too
MAX_GROUPS = 30  # values of a kept column in the table; --json has all
WARNING, NOTE, READ, KEPT, LOST = "yellow", "dim", "", "green", "red"


@dataclass(frozen=True, slots=True)
class Subject:
    """The dataset that a summary is of."""

    name: str
    manifest: Manifest
    split: str | None
    facts: Facts | None

    @property
    def splits(self) -> dict[str, SplitStats]:
        """Its splits; of a split, itself."""
        return {key: stats for key, stats in self.manifest.splits.items() if self.split in (None, key)}


@dataclass(frozen=True, slots=True)
class Summary:
    """A title, a few lines, and tables; then what deserves a warning, and commands to continue with. `data` is all of
    it as JSON types.
    """

    title: str
    lines: tuple[str, ...]
    tables: tuple[Table, ...]
    facts: tuple[str, ...] = ()
    warnings: tuple[Caution, ...] = ()
    commands: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    subject: Subject | None = None  # the dataset, if it is the summary of one

    def styled(self, width: int = PLAIN_WIDTH) -> list[Line]:
        """The summary as lines of at most this width, wherever its words allow that."""
        name, _, rest = self.title.partition(": ")
        parts = [self.title] if width_of(self.title) <= width else [f"{name}: {rest}".partition("; ")[0]]
        lines = [line for text in parts for line in paragraph("", text, width, BOLD)]
        if len(parts[0]) < len(self.title):
            lines += paragraph(" " * (width_of(name) + 2), self.title[len(parts[0]) + 2 :], width, BOLD)
        for text in self.facts:
            lines += paragraph("", text, width, NOTE)
        for table in self.tables:
            lines += [[("", "")], *table.styled(width)]
        label = "note: " if self.tables else ""
        for number, text in enumerate(self.lines):
            lines += [[("", "")]] if number == 0 and self.tables else []
            lines += paragraph(label, text, width, NOTE)
        if self.warnings:
            lines += [[("", "")], *warning_lines(self.warnings, width)]
        for number, text in enumerate(self.commands):
            lines += [[("", "")]] if number == 0 else []
            lines.append([("      " if number else "next: ", "bold"), (terminal_safe(text), "")])
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON types. The keys are stable for one `schema_version`."""
        return {
            "schema_version": SCHEMA_VERSION,
            **self.data,
            "warnings": [one.to_dict() for one in self.warnings],
            "notes": list(self.lines),
            "next": list(self.commands),
        }

    def __str__(self) -> str:
        return "\n".join(plain(self.styled()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from sftdata.view.html import summary_html

        return summary_html(self)


def warning_lines(warnings: Sequence[Caution], width: int) -> list[Line]:
    """Warnings, the first MAX_WARNINGS of them, each with its example and the setting to paste."""
    lines: list[Line] = []
    for one in warnings[:MAX_WARNINGS]:
        text = one.text if one.example is None else f"{one.text} (see {one.example})"
        lines += paragraph("warning: ", text, width, WARNING, f"bold {WARNING}")
        if one.setting is not None:
            setting = terminal_safe(one.setting)
            is_long = width_of(setting) + 14 > width  # it has to stay on one line
            lines += (
                [[("         set:", NOTE)], [(setting, "")]] if is_long else [[("         set: ", NOTE), (setting, "")]]
            )
    if (more := len(warnings) - MAX_WARNINGS) > 0:
        lines.append([(f"         and {pluralize(more, 'more warning')}, which --json lists", WARNING)])
    return lines


def summarize(
    name: str, manifest: Manifest, split: str | None = None, facts: Facts | None = None, commands: Sequence[str] = ()
) -> Summary:
    """The summary of a dataset, or of one split. Without `facts`, which the ledger has, from the manifest alone."""
    subject = Subject(name, manifest, split, facts)
    splits = subject.splits
    about = [*map(", ".join, about_dataset(manifest, manifest.tokenizer.source)), *given_lines(manifest.parts)]
    tables, lines, warnings = [], [], []
    if split is None:
        tables.append(_funnel_table(manifest, facts))
        lines = notes_on(manifest)
        warnings = find_cautions(manifest, facts)
    if len(splits) > 1 or split is not None or not manifest.counts.rows_read:
        tables.append(splits_table(splits, manifest.seq_len))
    if split is None:
        if manifest.mixture:
            tables.append(mixture_table(manifest))
        if facts is not None and facts.groups:
            tables.append(_groups_table(facts))
    of = name if split is None else f"{split} of {name}"
    title = f"{of}: {_headline(manifest, splits, split)}"
    data = {"dataset": name, **_data(manifest, splits, facts)}
    return Summary(title, tuple(lines), tuple(tables), tuple(about), tuple(warnings), tuple(commands), data, subject)


def about_dataset(manifest: Manifest, tokenizer: str) -> tuple[tuple[str, ...], ...]:
    """What a dataset is made with, in two lines; `tokenizer` is its name."""
    made = [f"tokenizer {tokenizer}", *([f"template {manifest.template.source}"] if manifest.template else [])]
    made += [f"encoder {manifest.encoding.encoder}"] if manifest.encoding else []
    packing = (f"packing {manifest.packing.strategy}", f"seed {manifest.seed}")
    return tuple(made), (*packing, f"dataset hash {manifest.dataset_hash[:12]}")


def _headline(manifest: Manifest, splits: Mapping[str, SplitStats], split: str | None) -> str:
    """`19,437 conversations -> 2,197 sequences of 2,048 (99.7% full); 4.49 M tokens, 1.04 M trained (23.1%)`."""
    rows = sum(one.rows for one in splits.values())
    tokens, trained = sum(one.tokens for one in splits.values()), sum(one.trained_tokens for one in splits.values())
    what = packed_text(manifest, splits, split)
    fill = f" ({share_text(tokens, rows * manifest.seq_len)} full)" if rows else ""
    return (
        f"{what} -> {pluralize(rows, 'sequence')} of {manifest.seq_len:,}{fill}; "
        f"{in_millions(tokens)} tokens, {in_millions(trained)} trained ({share_text(trained, tokens)})"
    )


def packed_text(manifest: Manifest, splits: Mapping[str, SplitStats], split: str | None) -> str:
    """`19,437 conversations`, `8 texts as 12 samples`."""
    samples, packed = sum(one.samples for one in splits.values()), manifest.counts.packed
    if split is not None or not packed:
        return pluralize(samples, "sample")
    what = pluralize(packed, "text" if manifest.template is None else "conversation")
    return f"{what} as {pluralize(samples, 'sample')}" if samples != packed else what


def in_millions(number: int) -> str:
    """`4.49 M` from a million on, else the number: `12,345`."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:,}"


def short_names(paths: Sequence[str]) -> list[str]:
    """Each path by the fewest of its last parts that no other path ends in. Only paths from the root, and addresses of
    files, are shortened: others were written so.
    """
    parts = [tuple(path.rstrip("/").split("/")) for path in paths]
    distinct = set(parts)
    counted: dict[int, Counter[tuple[str, ...]]] = {}  # by number of parts: how many paths end in the same ones
    names = []
    for path, own in zip(paths, parts):
        is_long = path.startswith("/") or own[0].endswith(":")
        for size in range(1, len(own)) if is_long else ():
            if size not in counted:
                counted[size] = Counter(other[-size:] for other in distinct)
            if counted[size][own[-size:]] == 1:
                names.append("/".join(own[-size:]))
                break
        else:
            names.append(path)
    return names


def token_counts(num_tokens: int, num_trained: int) -> str:
    """`120 tokens, 30 trained (25.0%)`."""
    return f"{pluralize(num_tokens, 'token')}, {num_trained:,} trained ({share_text(num_trained, num_tokens)})"


def splits_table(splits: Mapping[str, SplitStats], seq_len: int) -> Table:
    """What is in each split."""
    head = ("split", "shards", "sequences", "samples", "tokens", "trained", "share", "fill")
    rows = [_splits_row(name, stats, seq_len) for name, stats in splits.items()]
    return Table(head, tuple(rows), frozenset({0}), optional=frozenset({1}))


def _splits_row(name: str, stats: SplitStats, seq_len: int) -> tuple[str, ...]:
    counts = (stats.shards, stats.rows, stats.samples)
    tokens, trained = in_millions(stats.tokens), in_millions(stats.trained_tokens)
    share, fill = share_text(stats.trained_tokens, stats.tokens), share_text(stats.tokens, stats.rows * seq_len)
    return name, *(f"{number:,}" for number in counts), tokens, trained, share, fill


def mixture_table(manifest: Manifest) -> Table:
    """The requested and actual share of each source in the training split."""
    rows = [
        (
            name,
            "-" if entry.asked is None else f"{entry.asked:.2%}",
            f"{entry.got:.2%}",
            f"{entry.trained_tokens:,}",
            f"{entry.available_tokens:,}",
            f"{entry.records:,}",
            f"{entry.copies:,}",
        )
        for name, entry in zip(short_names([entry.source for entry in manifest.mixture]), manifest.mixture)
    ]
    head = ("mixture", "requested", "actual", "trained", "available", "records", "copies")
    return Table(head, tuple(rows), frozenset({0}))


def _funnel_table(manifest: Manifest, facts: Facts | None) -> Table:
    """From rows read to rows packed: a line for each reason, by stage, with what the ledger says of its rows."""
    counts = manifest.counts
    stages = by_stage(manifest.counts)
    wide = max((len(name) for name, _ in stages), default=0)
    rows = [("rows read", f"{counts.rows_read:,}", "", "", "")]
    shares = [1.0]
    for label, reasons in stages:
        for reason, number in reasons:
            first = counts.examples.get(reason)
            share = share_text(number, counts.rows_read)
            rows.append((f"  {label:<{wide}}  {reason}", f"-{number:,}", share, first or "", remark(reason, facts)))
            shares.append(number / max(1, counts.rows_read))
            label = ""
    rows.append(("packed", f"{counts.packed:,}", share_text(counts.packed, counts.rows_read), "", ""))
    styles = [("", READ), *[("", LOST)] * (len(rows) - 2), ("bold", KEPT)]
    shares.append(counts.packed / max(1, counts.rows_read))
    return Table(
        ("", "", "", "first", ""),
        tuple(rows),
        frozenset({0, 3, 4}),
        shares=tuple(shares),
        styles=tuple(styles),
        has_head=False,
        has_remarks=True,
    )


def by_stage(counts: Counts) -> list[tuple[str, list[tuple[str, int]]]]:
    """Each stage that dropped rows, in the order of the stages, with its reasons and how many rows each has."""
    dropped = counts.dropped
    stages = sorted(dropped, key=lambda name: min(map(_place, dropped[name]), default=len(REASONS)))
    return [(name, sorted(dropped[name].items(), key=lambda item: _place(item[0]))) for name in stages]


def _place(reason: str) -> int:
    """The place of a reason among all."""
    known = list(REASONS)
    return known.index(reason) if reason in known else len(known)


def remark(reason: str, facts: Facts | None) -> str:
    """The commonest details of the rows dropped for a reason, or what it means."""
    details = facts.details.get(reason, ()) if facts is not None else ()
    meaning, text = REASONS.get(reason, ("", ""))[1], "; ".join(map(_detail_text, details[:SHOWN_DETAILS]))
    if text and (width_of(text) >= MIN_DETAIL or not meaning):
        return text
    return f"{meaning}: {text}" if text and meaning else meaning


def _detail_text(detail: Detail) -> str:
    """`2,345 tokens, and pack.seq_len is 2,048 (and 150 more such)`."""
    text = shortened(detail.text, DETAIL_WIDTH)
    if detail.rows == 1:
        return text
    return f"{detail.rows:,} x {'such as ' if detail.differs else ''}{text}"


def _groups_table(facts: Facts) -> Table:
    """What each source, or value of a kept column, gives to the dataset."""
    groups = facts.groups[: MAX_GROUPS if facts.by else len(facts.groups)]
    tokens = max(1, sum(group.tokens for group in facts.groups))
    trained = max(1, sum(group.trained_tokens for group in facts.groups))
    rows = [_group_row(name, group, tokens, trained) for name, group in zip(group_names(facts), groups)]
    shares = tuple(group.trained_tokens / trained for group in groups)
    head = (facts.by or "source", "rows", "dropped", "tokens", "of all", "trained", "of all trained")
    left = facts.groups[len(groups) :]
    notes: tuple[tuple[str, ...], ...] = ()
    if left:
        notes = (*[()] * (len(rows) - 1), (f"and {pluralize(len(left), 'more value')}, which --json lists",))
    return Table(
        head, tuple(rows), frozenset({0}), "", shares, 6, notes, (("", KEPT),) * len(rows), optional=frozenset({4})
    )


def group_names(facts: Facts) -> list[str]:
    """What sources, or values of a kept column, are called."""
    names = [group.name or "" for group in facts.groups]
    return [name or "-" for name in names] if facts.by else short_names(names)


def _group_row(name: str, group: Group, tokens: int, trained: int) -> tuple[str, ...]:
    return (
        shortened(name, 60),
        f"{group.rows:,}",
        share_text(group.rows - group.packed, group.rows),
        in_millions(group.tokens),
        share_text(group.tokens, tokens),
        in_millions(group.trained_tokens),
        share_text(group.trained_tokens, trained),
    )


def _split_data(stats: SplitStats) -> dict[str, int]:
    """The numbers of a split, with packed rows called sequences."""
    return {"sequences" if name == "rows" else name: number for name, number in stats._asdict().items()}


def _data(manifest: Manifest, splits: Mapping[str, SplitStats], facts: Facts | None) -> dict[str, Any]:
    """The numbers of a summary, as JSON types."""
    counts = manifest.counts
    reasons = [
        {
            "reason": reason,
            "stage": stage,
            "rows": number,
            "share": number / max(1, counts.rows_read),
            "first": counts.examples.get(reason),
            "details": [one._asdict() for one in facts.details.get(reason, ())] if facts is not None else [],
        }
        for stage, by_reason in counts.dropped.items()
        for reason, number in sorted(by_reason.items(), key=lambda item: _place(item[0]))
    ]
    totals = {name: sum(getattr(one, name) for one in splits.values()) for name in SplitStats._fields}
    return {
        "dataset_hash": manifest.dataset_hash,
        "rows_read": counts.rows_read,
        "packed": counts.packed,
        "dropped": counts.num_dropped,
        "reasons": sorted(reasons, key=lambda one: _place(str(one["reason"]))),
        "seq_len": manifest.seq_len,
        "sequences": totals["rows"],
        "fill": manifest.packing.fill,
        "samples": totals["samples"],
        "tokens": totals["tokens"],
        "trained_tokens": totals["trained_tokens"],
        "splits": {name: _split_data(one) for name, one in splits.items()},
        "mixture": [one.model_dump(mode="json") for one in manifest.mixture],
        "by": facts.by if facts is not None else None,
        "groups": [one._asdict() for one in facts.groups] if facts is not None else [],
    }


def last_part(path: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1] or path
