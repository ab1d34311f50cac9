"""Masked samples and summaries on a terminal, or as plain text if output is piped or styles are off."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from sftdata.errors import pluralize
from sftdata.safe.control_chars import INVISIBLE, encodable, terminal_safe, visible_char
from sftdata.safe.terminal import safe_console
from sftdata.view.layout import ASCII_BARS, Line
from sftdata.view.summary import Summary

if TYPE_CHECKING:
    from rich.console import Console

    from sftdata.view.dataset import Dataset, Row, Sample

MAX_TOKENS = 4096
STYLES = {  # (trained, control token) -> style
    ("no", False): "",
    ("yes", False): "underline green",
    ("partly", False): "underline yellow",
    ("no", True): "magenta",
    ("yes", True): "bold underline green reverse",
}
MARK = "dim"
# Without styles (a pipe, a file, TERM=dumb), brackets replace colour and underline.
TRAINED_BRACKETS = ("\u27e6", "\u27e7")
CONTROL_BRACKETS = ("\u27ea", "\u27eb")

# Control and format characters could move the cursor, change the window title or reorder the line, so they are never
# printed as they are. Spaces are marked only where they are easily missed: at the ends of a line and next to others.
_JOINERS = "\u200c\u200d"  # kept between non-ASCII characters: scripts and emoji use them
_INVISIBLE = f"[{INVISIBLE}]"
_MARKED = re.compile(
    f"[\t\n]|^ +| +$| {{2,}}|(?![{_JOINERS}]){_INVISIBLE}|[{_JOINERS}](?![^\x00-\x7f])|(?<![^\x00-\x7f])[{_JOINERS}]",
    re.MULTILINE,
)


def print_summary(dataset: Dataset, console: Console | None = None) -> None:
    """Print splits, tokens, trained share, and the counts from rows read to rows packed."""
    print_summary_of(dataset.summary(), console)


def print_summary_of(summary: Summary, console: Console | None = None) -> None:
    """Print a summary."""
    console = console or safe_console()
    print_lines(summary.styled(console.width), console)


def print_lines(lines: Iterable[Line], console: Console | None = None) -> None:
    """Print lines that are laid out already."""
    console = console or safe_console()
    is_unicode = console.encoding.lower().startswith("utf")
    for line in lines:
        pieces = line if is_unicode else [(text.translate(ASCII_BARS), style) for text, style in line]
        text = Text.assemble(*pieces)
        text.rstrip()
        _print(console, text)


def print_row(
    dataset: Dataset, row: Row | int, console: Console | None = None, *, max_tokens: int | None = MAX_TOKENS
) -> None:
    """Print a packed row, up to `max_tokens` tokens (None: all). A note says how much is left out."""
    console = console or safe_console()
    row = dataset[row] if isinstance(row, int) else row
    _print(console, Text(terminal_safe(row.title), style="bold"))
    print_legend(console)
    left = row.num_tokens if max_tokens is None else max_tokens
    for sample in row.samples:
        if left <= 0:
            hidden = row.samples[sample.index :]
            tokens = pluralize(sum(one.num_tokens for one in hidden), "token")
            _print(console, Text(f"... not shown: {pluralize(len(hidden), 'more sample')} with {tokens}", style=MARK))
            return
        _print_sample(console, sample, f"sample {sample.index} · ", left)
        left -= sample.num_tokens


def print_sample(sample: Sample, console: Console | None = None, *, max_tokens: int | None = MAX_TOKENS) -> None:
    """Print one sample, up to `max_tokens` tokens (None: all)."""
    console = console or safe_console()
    _print(console, Text(terminal_safe(sample.title), style="bold"))
    print_legend(console)
    _print_sample(console, sample, "", sample.num_tokens if max_tokens is None else max_tokens)


def sample_text(sample: Sample, max_tokens: int, styled: bool) -> Text:
    """The tokens of a sample as rich text. If not `styled`, brackets mark trained runs and control tokens."""
    text = Text()
    in_trained = False
    for trained, control, run in _segments(sample, max_tokens):
        if styled:
            _append_visible(text, run, STYLES[trained, control])
            continue
        if (trained != "no") != in_trained:
            text.append(TRAINED_BRACKETS[in_trained])
            in_trained = not in_trained
        opening, closing = CONTROL_BRACKETS if control else ("", "")
        text.append(opening)
        _append_visible(text, run, "")
        text.append(closing)
    if in_trained:
        text.append(TRAINED_BRACKETS[1])
    return text


def _segments(sample: Sample, max_tokens: int) -> Iterator[tuple[str, bool, str]]:
    """(trained: yes, no or partly; is control token; text). Neighbours of one kind are joined, control tokens not."""
    kind, run = ("no", False), ""
    for span in sample.spans():
        if span.start >= max_tokens:
            break
        flags = {sample.labels[at] != -100 for at in range(span.start, span.end)}
        trained = "partly" if len(flags) > 1 else "yes" if True in flags else "no"
        control = span.end - span.start == 1 and sample.input_ids[span.start] in sample.control_ids
        if kind != (trained, control) or control:
            if run:
                yield *kind, run
            kind, run = (trained, control), ""
        run += span.text
    if run:
        yield *kind, run


def _append_visible(text: Text, run: str, style: str) -> None:
    """Append text with white space and invisible characters made visible."""
    done = 0
    for match in _MARKED.finditer(run):
        text.append(run[done : match.start()], style)
        text.append(_mark(match[0]), f"{style} {MARK}" if style else MARK)
        done = match.end()
    text.append(run[done:], style)


def _mark(text: str) -> str:
    """The visible form of a newline, a tab, spaces or an invisible character."""
    if text == "\n":
        return "\u21b5\n"
    if text == "\t":
        return "\u21e5   "
    if text[0] == " ":
        return "\u00b7" * len(text)
    return visible_char(text)


def print_legend(console: Console) -> None:
    """Print how trained text and control tokens are marked."""
    if _styled(console):
        legend = Text.assemble(
            ("trained", STYLES["yes", False]),
            "  not trained  ",
            ("control token", STYLES["no", True]),
            "  ",
            ("control token, trained", STYLES["yes", True]),
        )
    else:
        legend = Text("{}trained{}  not trained  {}control token{}".format(*TRAINED_BRACKETS, *CONTROL_BRACKETS))
    _print(console, legend)


def _print_sample(console: Console, sample: Sample, prefix: str, max_tokens: int) -> None:
    head = f"{prefix}{sample.counts} · {sample.place or f'record {sample.record_id}'}"
    _print(console, Text("\u2500\u2500 " + terminal_safe(head) + " " + "\u2500" * 2, style="bold"))
    print_tokens(sample, console, max_tokens)


def print_tokens(sample: Sample, console: Console, max_tokens: int) -> None:
    """Print the tokens of a sample, up to `max_tokens`; on a terminal, long lines are folded between words."""
    text = sample_text(sample, max_tokens, _styled(console))
    if console.is_terminal and console.encoding.lower().startswith("utf"):
        console.print(text, highlight=False, overflow="fold")
    else:
        _print(console, text)
    if sample.num_tokens > max_tokens:
        more = pluralize(sample.num_tokens - max_tokens, "more token")
        _print(console, Text(f"... not shown: {more} of this sample", style=MARK))


def _styled(console: Console) -> bool:
    """Whether the console shows styles."""
    return console.color_system is not None


def _print(console: Console, text: Text) -> None:
    """Print text as it is: no markup, no highlighting, no wrapping of long lines except by the terminal."""
    if not console.encoding.lower().startswith("utf"):
        plain = encodable(text.plain, console.encoding)
        text = Text(plain) if plain != text.plain else text
    console.print(text, soft_wrap=True, highlight=False)
