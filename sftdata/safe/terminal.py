"""The one way to a terminal: everything that either command line prints goes through `printable`.

Text from file names, settings, rows and libraries may hold characters that a terminal takes for commands, or that
change how a line reads: they are shown, not sent. Colours and bars are those of rich, whose texts are cleaned too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from sftdata.safe.control_chars import visible_char

if TYPE_CHECKING:
    from rich.console import Console

# Control and format characters other than newline and tab: C0, DEL, C1, marks of direction, characters without a width,
# line separators, tags; and halves of characters, which no terminal can be sent.
_UNSAFE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f\ud800-\udfff"
)
_JOINERS = "\u200c\u200d"  # are kept between characters that are not ASCII: scripts and emoji use them
_TO_SHOW = re.compile(
    f"(?![{_JOINERS}])[{_UNSAFE}]|[{_JOINERS}](?![^\x00-\x7f])|(?<![^\x00-\x7f])[{_JOINERS}]|(?<=[{_JOINERS}])[{_JOINERS}]"
)


def printable(text: str) -> str:
    """Text with the characters that control a terminal, or hide on it, made visible; lines and tabs stay."""
    return text if text.isascii() and text.isprintable() else _TO_SHOW.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    char = match[0]
    return f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else visible_char(char)


class SafeStream:
    """A text stream that writes only what is printable, and escapes what its encoding lacks. `raw` is the stream below.

    Writing raises what `raw` raises where it is closed or full.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write text; returns its length."""
        shown = printable(text)
        if not shown.isascii():
            encoding = getattr(self.raw, "encoding", None) or "utf-8"
            shown = shown.encode(encoding, "backslashreplace").decode(encoding)
        self.raw.write(shown)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


@contextmanager
def safe_output() -> Iterator[None]:
    """While the block runs, stdout and stderr write only what is printable."""
    before = sys.stdout, sys.stderr
    wrapped = tuple(_wrapped(stream) for stream in before)
    sys.stdout, sys.stderr = wrapped
    try:
        yield
    finally:
        for name, stream, own in zip(("stdout", "stderr"), before, wrapped):
            if getattr(sys, name) is own:  # else someone else has replaced it since
                setattr(sys, name, stream)


def _wrapped(stream: TextIO) -> TextIO:
    """A stream that writes only what is printable. None, where a stream is closed from the start, stays None."""
    is_done = stream is None or isinstance(stream, SafeStream)
    return stream if is_done else cast(TextIO, SafeStream(stream))


def raw_stream(stream: TextIO) -> TextIO:
    """The stream below a SafeStream; another stream as it is."""
    return stream.raw if isinstance(stream, SafeStream) else stream


def safe_console(*, stderr: bool = False, file: TextIO | None = None) -> Console:
    """A console of rich whose own colours and movements reach the terminal, and whose texts are printable.

    Texts are data: no markup, no emoji names, no highlighting.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        """Cleans every text on its way through; control sequences of rich itself are marked as such."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    style = segment.style
                    has_link = style is not None and style.link is not None  # what others print may hold one
                    yield Segment(printable(segment.text), style.update_link(None) if style and has_link else style)

    target = file if file is not None else raw_stream(sys.stderr if stderr else sys.stdout)
    return SafeConsole(file=target, markup=False, emoji=False, highlight=False)
