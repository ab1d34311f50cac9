"""The summary of a dataset as lines and tables, shared by notebook, terminal and repr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sftdata.errors import pluralize
from sftdata.reasons import REASONS
from sftdata.records.faults import ERROR_LOG, INTERNAL_ERROR
from sftdata.safe.control_chars import terminal_safe
from sftdata.store.manifest import EncodingEntry, Manifest, SplitStats
from sftdata.view.unused import calls_lines, unused_lines

MAX_STRINGS = 5  # maximum number of control strings to list
# Stripping is suggested from this many answers, or this share of the packed rows.
MIN_ENDINGS, MIN_ENDINGS_SHARE = 10, 0.01
WARN_DROPPED = 0.2  # share of the rows above which their loss is pointed out


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are shown. `text_columns` are left-aligned, the others right-aligned."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[int]

    def lines(self) -> list[str]:
        """The table as aligned plain text, header first."""
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
    """A title, a few lines, and tables."""

    title: str
    lines: tuple[str, ...]
    tables: tuple[Table, ...]

    def __str__(self) -> str:
        blocks = [(self.title, *self.lines), *(table.lines() for table in self.tables)]
        return "\n\n".join("\n".join(map(terminal_safe, block)) for block in blocks)


def summarize(name: str, manifest: Manifest, split: str | None = None) -> Summary:
    """The summary of a dataset, or of one split, from the manifest alone."""
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
        lines += map(terminal_safe, manifest.notes)
        lines += fault_lines(manifest.counts.dropped_as(INTERNAL_ERROR), manifest.counts.rows_read, ERROR_LOG)
        lines += calls_lines((entry.fate, entry.forms, entry.rows) for entry in manifest.calls_in_text)
        lines += unused_lines((entry.source, entry.column, entry.rows) for entry in manifest.unused)
        if manifest.mixture:
            tables.append(_mixture_table(manifest))
        tables.append(_funnel_table(manifest))
    return Summary(title, tuple(lines), tuple(tables))


def fault_lines(number: int, num_rows: int, log: str = "") -> list[str]:
    """A warning if faults of sftdata cost rows."""
    if not number:
        return []
    are, traces = ("is", "its traceback") if number == 1 else ("are", "their tracebacks")
    behind = f": {log} has {traces}" if log else ""
    rows = f"{pluralize(number, 'row')} ({_share(number, num_rows)})"
    return [f"warning: {rows} {are} lost to faults of sftdata{behind}; please report them"]


def _encoding_lines(encoding: EncodingEntry, num_packed: int) -> list[str]:
    """Control strings found in texts, and what was done to overlong conversations; no lines if there were none."""
    lines = []
    if encoding.control_strings:
        named = [f"{terminal_safe(hit.string)} {hit.count:,} x {hit.role}" for hit in encoding.control_strings]
        kept = "kept as text unless stripped" if encoding.stripped_answers else "kept as text"
        lines.append(f"control strings in text, {kept}: {_first_few(named)}")
    if encoding.stripped_answers:
        lines.append(f"stripped control strings from the end of {pluralize(encoding.stripped_answers, 'answer')}")
    elif (endings := sum(encoding.trailing_control.values())) and (
        endings >= MIN_ENDINGS or endings >= MIN_ENDINGS_SHARE * num_packed
    ):
        end = "ends" if endings == 1 else "end"
        strings = _first_few([terminal_safe(string) for string in encoding.trailing_control])
        advice = "clean.strip_trailing_control=true strips it"
        if encoding.only_control:
            advice += f", and drops {pluralize(encoding.only_control, 'answer')} with nothing else as empty_answer"
        lines.append(f"{pluralize(endings, 'answer')} {end} in {strings}: {advice}")
    if encoding.split_conversations or encoding.overlong_turns:
        dropped = (
            f"; {pluralize(encoding.overlong_turns, 'turn')} too long for a window" if encoding.overlong_turns else ""
        )
        lines.append(f"split {pluralize(encoding.split_conversations, 'conversation')} longer than a row{dropped}")
    if encoding.split_texts:
        lines.append(f"split {pluralize(encoding.split_texts, 'text')} longer than a row")
    if encoding.cut_answers:
        lines.append(f"cut {pluralize(encoding.cut_answers, 'answer')}")
    return lines + _context_lines(encoding)


def _context_lines(encoding: EncodingEntry) -> list[str]:
    """What the template does not write, or writes differently; no lines if there is nothing."""
    lines = []
    for name, number in encoding.lost_context.items():
        are = "is trained behind a prompt without its" if number == 1 else "are trained behind prompts without their"
        lines.append(f"warning: {pluralize(number, 'row')} {are} {terminal_safe(name)}")
    for reason, number in encoding.left_out.items():
        turns, are = pluralize(number, "turn"), "is" if number == 1 else "are"
        lines.append(f"warning: {turns} of rows that are trained otherwise {are} left out as {reason}: see the ledger")
    if encoding.developer_as_system:
        verb = "is" if encoding.developer_as_system == 1 else "are"
        messages = pluralize(encoding.developer_as_system, "developer message")
        lines.append(f"{messages} {verb} written as system messages: the template has no developer role")
    for key, number in encoding.unwritten.items():
        things, _, name = key.partition(": ")
        verb = "has" if number == 1 else "have"
        what = f"{terminal_safe(name)} that the template does not write"
        lines.append(f"{pluralize(number, things.removesuffix('s'))} {verb} {what}")
    lines += [*_reasoning_lines(encoding.reasoning), *_thinking_lines(encoding.thinking), *_lines_of_texts(encoding)]
    if parsed := encoding.arguments.get("object from text", 0):
        calls = pluralize(parsed, "tool call")
        lines.append(f"the arguments of {calls} are JSON texts, given to the template as objects, as servers do")
    lines += _lines_of_tools(encoding.as_text)
    if encoding.made_call_ids:
        calls = pluralize(encoding.made_call_ids, "tool call")
        lines.append(f"made ids for {calls}, in the form that the template demands")
    if encoding.joined_texts:
        have = "has contents that are lists" if encoding.joined_texts == 1 else "have contents that are lists"
        lines.append(f"{pluralize(encoding.joined_texts, 'row')} {have} of texts, joined with line breaks")
    if encoding.unused_messages:
        verb = "comes" if encoding.unused_messages == 1 else "come"
        messages = pluralize(encoding.unused_messages, "message")
        lines.append(f"{messages} {verb} after the last trained turn of a row, and so in no sample")
    lines += [f"rows dropped as {reason}: {terminal_safe(way)}" for reason, way in encoding.ways_out.items()]
    return lines


def _lines_of_tools(counts: Mapping[str, int]) -> list[str]:
    """What is written as text by `tool_calls: inline`, and how a server does the same; no lines if nothing is."""
    if not counts:
        return []
    calls, results = counts.get("calls", 0), counts.get("results", 0)
    written = [pluralize(calls, "tool call"), pluralize(results, "result")] if calls or results else []
    for name, number in counts.items():
        if name.startswith("tools "):
            written.append(f"the tools of {pluralize(number, 'row')} ({name.removeprefix('tools ')})")
    return [
        f"written as text by tool_calls: inline: {', '.join(written)}; give the model such messages when it is served: "
        "sftdata.tools_as_text makes them"
    ]


def _lines_of_texts(encoding: EncodingEntry) -> list[str]:
    """Texts that are trained as they are, though their owner may mean something else; no lines if there are none."""
    lines = []
    if total := sum(encoding.rendered.values()):
        are = "is itself a chat" if total == 1 else "are themselves chats"
        named = ", ".join(f"{terminal_safe(family)} {number:,}" for family, number in encoding.rendered.items())
        lines.append(
            f"warning: {pluralize(total, 'message')} {are} in the marks of a template ({named}), trained as text: "
            "write the turns as messages, without marks"
        )
    if encoding.media_marks:
        has = "has" if encoding.media_marks == 1 else "have"
        messages = pluralize(encoding.media_marks, "message")
        lines.append(
            f"warning: {messages} {has} the mark of a picture or a sound (such as <image>), which is only text"
        )
    if encoding.tools_twice:
        lists = "lists its" if encoding.tools_twice == 1 else "list their"
        rows = pluralize(encoding.tools_twice, "row")
        lines.append(
            f"warning: {rows} {lists} tools in the system message too, and a template that writes tools writes them "
            "twice: take the list out of the system message"
        )
    return lines


_REASONING = {
    "unwritten": "reasoning in their texts ({}), trained as text: the template writes no reasoning; reasoning: drop "
    "would leave it out",
    "read": "reasoning in their texts ({}), which the template writes in its own marks",
    "own": "reasoning in their texts ({}), written with the model's own tokens for it",
    "text": "text in the marks of reasoning ({}), which their prompts ask for: it stays text, and the template writes "
    "that they have no reasoning",
}


def _reasoning_lines(counts: Mapping[str, int]) -> list[str]:
    """What became of the reasoning of answers; no lines if they have none, or only fields that the template writes."""
    lines = []
    for fate, sentence in _REASONING.items():
        marks = {key.partition(": ")[2]: number for key, number in counts.items() if key.startswith(f"{fate}: ")}
        named = ", ".join(f"{terminal_safe(mark)} {number:,}" for mark, number in marks.items())
        total = sum(marks.values())
        if total:
            have = "has" if total == 1 else "have"
            lines.append(f"{pluralize(total, 'answer')} {have} {sentence.format(named)}")
    for how, what in (("inline", "written in front of it in <think> marks"), ("drop", "left out")):
        if number := counts.get(how, 0):
            lines.append(f"the reasoning of {pluralize(number, 'answer')} is {what}, by reasoning: {how}")
    return lines


def _thinking_lines(counts: Mapping[str, int]) -> list[str]:
    """In which mode of thinking answers are trained, where that was not said; no lines if there is none."""
    lines = []
    for key, number in counts.items():
        mode, _, switch = key.partition(": ")
        have = "has" if number == 1 else "have"
        rows = f"{pluralize(number, 'row')} {have} answers"
        if mode == "on":
            lines.append(f"{rows} with reasoning, which are trained with thinking on ({terminal_safe(switch)})")
        elif mode == "off":
            lines.append(f"{rows} without reasoning, which are trained with thinking off ({terminal_safe(switch)})")
        else:
            are = "is not trained, but a part of the prompt: train_empty_thinking: true trains it"
            lines.append(f"{rows} without reasoning, for which the template writes an empty thinking block: it {are}")
    return lines


def _privacy_lines(manifest: Manifest) -> list[str]:
    """The personal data that was found, by kind; no lines if there was none."""
    if not manifest.privacy:
        return []
    mode = manifest.parts.privacy.mode
    action = {"redact": "replaced", "drop": "dropped with their rows"}.get(mode or "", "left unchanged")
    return [
        f"personal data, {action}: " + ", ".join(f"{n:,} {terminal_safe(kind)}" for kind, n in manifest.privacy.items())
    ]


def _first_few(items: Sequence[str]) -> str:
    """The first MAX_STRINGS items, and the number of others."""
    more = len(items) - MAX_STRINGS
    return ", ".join(items[:MAX_STRINGS]) + (f" and {more} more" if more > 0 else "")


def token_counts(num_tokens: int, num_trained: int) -> str:
    """`120 tokens, 30 trained (25.0%)`."""
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
    """The requested and actual share of each source in the training split."""
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
    head = ("source", "requested", "actual", "trained", "available", "records", "copies")
    return Table(head, tuple(rows), frozenset({0}))


def _funnel_table(manifest: Manifest) -> Table:
    """From rows read to rows packed, with a line per reason, in the order of the stages."""
    counts = manifest.counts
    known: Sequence[str] = list(REASONS)
    rows = [("rows read", f"{counts.rows_read:,}", "")]
    dropped = [(reason, number) for reasons in counts.dropped.values() for reason, number in reasons.items()]
    for reason, number in sorted(dropped, key=lambda item: known.index(item[0]) if item[0] in known else len(known)):
        meaning = REASONS.get(reason, ("", ""))[1]
        example = f" (first: {counts.examples[reason]})" if reason in counts.examples else ""
        rows.append((f"- {reason}", f"{number:,}", meaning + example))
    rows.append(("rows packed", f"{counts.packed:,}", f"{_share(counts.packed, counts.rows_read)} of the rows read"))
    lost = counts.rows_read - counts.packed
    if dropped and lost > WARN_DROPPED * counts.rows_read:
        most, number = max(dropped, key=lambda item: item[1])
        share = f"{_share(lost, counts.rows_read)} of the rows read are dropped, most of them"
        rows.append(("warning", f"{lost:,}", f"{share} as {most} ({number:,})"))
    return Table(("fate", "rows", ""), tuple(rows), frozenset({0, 2}))


def _share(part: int, whole: int) -> str:
    """A share as a percentage; never 100.0% if something is missing, or 0.0% if there is something."""
    if not whole:
        return "-"
    return f"{min(max(part / whole, 0.001 if part else 0), 1 if part >= whole else 0.999):.1%}"
