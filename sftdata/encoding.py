"""The encoder of a run: in this process, or in one beside it that has been begun before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from sftdata.encode.request import EncodingRequest, TokenizerFacts
from sftdata.engines.aside import MAKE, Aside

if TYPE_CHECKING:
    import pyarrow as pa

    from sftdata.config import Config
    from sftdata.engines.base import Engine, Piece, Stage


class End(NamedTuple):
    """What comes after encoding."""

    # The tokenizer and template as used, written in a form that transformers loads too: name, bytes and sha256 of each.
    files: Sequence[tuple[str, int, str]]
    tokenizer: TokenizerFacts
    template_sha256: str
    agrees: bool  # whether the library in use gives the ids of tokenizers: for hard strings, and for some live texts


class Encoding(Protocol):
    """What encodes the records of a run."""

    def check(self) -> None:
        """Raise TokenizerError where the tokenizer cannot be loaded, TemplateError where its template is of no use."""
        ...

    def stage(self) -> Stage:
        """The stage that encodes."""
        ...

    def begin_end(self, folder: Path, engine: Engine, rows: Sequence[Piece], dropped: pa.ChunkedArray) -> None:
        """Begin what is left to do when all is encoded: what `end` gives."""
        ...

    def end(self) -> End:
        """What `begin_end` began. To be asked before anything else is."""
        ...

    def use(self, encoder: str) -> None:
        """From now on encode with another library: one of BACKENDS."""
        ...


class EncodingAside:
    """An encoder in a process beside this one, which begins to load it now."""

    def __init__(self, aside: Aside, request: EncodingRequest) -> None:
        self._aside = aside
        aside.ask(MAKE, request)
        for method in ("check", "load", "outline"):
            aside.ask(method)
        self._unanswered = 4
        self._outline: tuple[str, Sequence[str], str]

    def check(self) -> None:
        """See Encoding.check. Waits until the encoder is loaded, so as to leave the processor to what loads it."""
        while self._unanswered:
            self._unanswered -= 1
            self._outline = self._aside.answer()  # the last of them

    def stage(self) -> Stage:
        """See Encoding.stage."""
        from sftdata.engines.elsewhere import StageElsewhere

        self.check()
        return cast("Stage", StageElsewhere(self._aside, "results", *self._outline))

    def begin_end(self, folder: Path, engine: Engine, rows: Sequence[Piece], dropped: pa.ChunkedArray) -> None:
        """See Encoding.begin_end."""
        self._aside.ask("end_for", folder, rows, dropped)

    def end(self) -> End:
        """See Encoding.end. Where the encoder turned out right, the process is not needed any more."""
        end = cast("End", self._aside.answer())
        if end.agrees:
            self._aside.dismiss()
        return end

    def use(self, encoder: str) -> None:
        """See Encoding.use."""
        self._aside.call("use", encoder)
        self._outline = self._aside.call("outline")


def begin_encoding(config: Config, aside: Aside | None = None) -> Encoding:
    """The encoder of a run: in the process that is given, where it then loads, else here, where it loads when used.

    Here it is checked at once: raises what `Encoding.check` raises.
    """
    request = request_of(config)
    if aside is not None:
        return EncodingAside(aside, request)
    from sftdata.encoding_here import EncodingHere

    encoding = EncodingHere(request)
    encoding.check()
    return encoding


def request_of(config: Config) -> EncodingRequest:
    """What the settings ask of the encoder."""
    return EncodingRequest(
        tokenizer=config.located_if_there(config.tokenizer),
        trust_remote_code=config.trust_remote_code,
        template=config.located_if_there(config.template),
        is_plain_text=config.is_plain_text,
        date=config.date,
        train_on=config.train_on,
        overlong=config.overlong,
        seq_len=None if config.overlong == "drop" else config.pack.seq_len,
        strip_trailing_control=config.clean.strip_trailing_control,
        encoder=config.encoder,
    )
