"""Decode token by token: ids -> spans of text that join to exactly what the tokenizer decodes."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer, decoders

from sftdata.errors import DatasetError, first_line
from sftdata.files.regular import shorten

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")  # a single byte in SentencePiece vocabularies
MAX_PREFIX_DECODES = 2048
MAX_CHARS = 1 << 26  # of the text of a row
MAX_ENTRIES = 1 << 24  # of a vocabulary, as in manifests


@contextmanager
def _tokenizer_errors(where: str) -> Iterator[None]:
    """Turn whatever the tokenizers library raises, its panics too, into a DatasetError."""
    try:
        yield
    except (DatasetError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic is no Exception
        what = f"is not a tokenizer ({shorten(first_line(error))})"
        raise DatasetError(where, what, "prepare the dataset again") from error


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """The text of the tokens [start, end) of a sample: one token, or a few that share the bytes of a character."""

    start: int
    end: int
    text: str


class ByteTable:
    """The bytes of every token of a byte-level vocabulary: texts of many tokens at once."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = pa.array([*tokens, b""], pa.large_binary())  # the last is for ids that are not in the vocabulary
        self._sizes = np.array([*map(len, tokens), 0], np.int64)

    def num_bytes(self, ids: npt.NDArray[np.int32]) -> int:
        """The size of the text of these tokens."""
        return int(self._sizes[self._known(ids)].sum())

    def text(self, ids: npt.NDArray[np.int32]) -> tuple[bytes, npt.NDArray[np.int64]]:
        """The text of these tokens in UTF-8, and where in it each token ends."""
        known = self._known(ids)
        data = self._tokens.take(pa.array(known)).buffers()[2]
        return b"" if data is None else data.to_pybytes(), np.cumsum(self._sizes[known])

    def _known(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return np.minimum(ids, len(self._sizes) - 1)


class Decoder:
    """The tokenizer of a dataset, for showing the text of each token. It never encodes."""

    def __init__(self, tokenizer: Tokenizer, where: str = "the tokenizer") -> None:
        self._tokenizer = tokenizer
        self._where = where
        self._byte_level = isinstance(tokenizer.decoder, decoders.ByteLevel)
        added = tokenizer.get_added_tokens_decoder()
        self.special_ids = frozenset(id_ for id_, token in added.items() if token.special)
        self._anchor: int | None = None
        self._anchored: dict[int, str | None] = {}

    @staticmethod
    def from_file(path: str | Path) -> Decoder:
        """Load a tokenizer.json. Raises DatasetError if it does not exist or is not a tokenizer."""
        try:
            data = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise DatasetError(
                str(path), error.strerror or "cannot be read", "prepare the dataset again, or restore the file"
            ) from error
        except ValueError as error:
            raise DatasetError(str(path), "is not UTF-8", "prepare the dataset again, or restore the file") from error
        with _tokenizer_errors(str(path)):
            return Decoder(Tokenizer.from_str(data), str(path))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids as the tokenizers library decodes it, including control tokens.

        Raises DatasetError if the library fails, or the text would be larger than any that a row stands for.
        """
        with _tokenizer_errors(self._where):
            num_chars = sum(len(self._tokenizer.id_to_token(id_) or "") * n for id_, n in Counter(ids).items())
            if num_chars > MAX_CHARS:
                what = f"turns {len(ids):,} tokens into {num_chars:,} characters"
                raise DatasetError(
                    self._where, what, "look at the dataset with care: its vocabulary is not a usual one"
                )
            return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def decode_many(self, samples: Sequence[Sequence[int]]) -> list[str]:
        """The text of each of several samples, as `decode` gives it, on all cores. Raises DatasetError as `decode`."""
        with _tokenizer_errors(self._where):
            sizes, last = self._entry_chars, len(self._entry_chars) - 1
            if sum(int(sizes[np.minimum(ids, last)].sum()) for ids in samples if ids) > MAX_CHARS:
                return [self.decode(ids) for ids in samples]
            return list(self._tokenizer.decode_batch(list(map(list, samples)), skip_special_tokens=False))

    @cached_property
    def _entry_chars(self) -> npt.NDArray[np.int64]:
        """The number of characters of each entry of the vocabulary, and of an entry that is not there."""
        return np.array([len(token) for token in self._entries] + [0], np.int64)

    @cached_property
    def _entries(self) -> list[str]:
        """The vocabulary, by id; empty where there is no entry."""
        by_id = {id_: token for token, id_ in self._tokenizer.get_vocab(with_added_tokens=True).items()}
        return [by_id.get(id_, "") for id_ in range(min(max(by_id, default=-1) + 1, MAX_ENTRIES))]

    @cached_property
    def byte_table(self) -> ByteTable | None:
        """The bytes of every token, if texts are nothing but those of their tokens; else None."""
        return ByteTable([_token_bytes(token) for token in self._entries]) if self._byte_level else None

    def name(self, token_id: int) -> str:
        """A name for a single token: its bytes in hex for a byte-level vocabulary, else its vocabulary entry."""
        token = self._tokenizer.id_to_token(token_id)
        if token is None:
            return "not in the vocabulary"
        return f"bytes {_token_bytes(token).hex(' ').upper()}" if self._byte_level else token

    def spans(self, ids: Sequence[int]) -> list[TokenSpan]:
        """Split the decoded text at token boundaries.

        The spans cover each token once and in order, and their texts join to `decode(ids)`. Tokens that have parts of
        one character share a span. A span may be empty (such as a leading space that SentencePiece strips).
        """
        if not ids:
            return []
        whole = self.decode(ids)
        token_of = {id_: self._tokenizer.id_to_token(id_) for id_ in set(ids)}
        tokens = [token_of[id_] for id_ in ids]
        if self._byte_level:
            spans = list(_split_bytes([b"" if token is None else _token_bytes(token) for token in tokens]))
        else:
            spans = self._split_entries(ids, tokens)
        joined = "".join(span.text for span in spans)
        if joined == whole:
            return spans
        if joined.endswith(whole):  # the decoder strips the start of the text once, across tokens if needed
            return _strip_start(spans, len(joined) - len(whole))
        return self._split_by_prefixes(ids, whole)

    def _split_entries(self, ids: Sequence[int], tokens: Sequence[str | None]) -> list[TokenSpan]:
        """Spans for decoders where a token's text hardly depends on its neighbours. Byte tokens decode in runs."""
        spans: list[TokenSpan] = []
        at = 0
        while at < len(ids):
            end = at
            run: list[bytes] = []
            while end < len(ids) and (match := BYTE_TOKEN.fullmatch(tokens[end] or "")):
                run.append(bytes.fromhex(match[1]))
                end += 1
            if run:
                spans += _split_byte_tokens(run, at)
                at = end
            else:
                spans.append(TokenSpan(at, at + 1, self._text_after_anchor(ids[at])))
                at += 1
        return spans

    def _text_after_anchor(self, token_id: int) -> str:
        """The text of a token in the middle of a text: decoded after an ordinary token (the anchor)."""
        text = self._anchored.get(token_id)
        if text is None:
            if self._anchor is None:
                self._anchor = self._find_anchor()
            before = self.decode([self._anchor])
            after = self.decode([self._anchor, token_id])
            text = after[len(before) :] if after.startswith(before) else ""
            self._anchored[token_id] = text
        return text

    def _find_anchor(self) -> int:
        """The lowest id whose vocabulary entry is ASCII letters."""
        for id_ in range(self._tokenizer.get_vocab_size()):
            token = self._tokenizer.id_to_token(id_)
            if token is not None and token.isascii() and token.isalpha():
                return id_
        return 0

    def _split_by_prefixes(self, ids: Sequence[int], whole: str) -> list[TokenSpan]:
        """Spans for any decoder: a boundary is the length of the decoded prefix that agrees with the whole text.

        Takes quadratic time, so long samples are split only every few tokens. No common tokenizer needs this.
        """
        step = -(-len(ids) // MAX_PREFIX_DECODES)
        spans: list[TokenSpan] = []
        start, done = 0, 0
        for end in range(step, len(ids), step):
            agreed = _common_prefix_chars(self.decode(ids[:end]), whole)
            if agreed > done:
                spans.append(TokenSpan(start, end, whole[done:agreed]))
                start, done = end, agreed
        return [*spans, TokenSpan(start, len(ids), whole[done:])]


def _byte_alphabet() -> dict[str, int]:
    """Printable character -> byte, as in byte-level BPE (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_OF = _byte_alphabet()


def _token_bytes(token: str) -> bytes:
    """The bytes of a token of a byte-level vocabulary. An added token may be plain text."""
    try:
        return bytes([BYTE_OF[char] for char in token])
    except KeyError:
        return token.encode("utf-8")


def _split_bytes(chunks: Sequence[bytes], first: int = 0) -> Iterator[TokenSpan]:
    """Split where both a character and a token end. Invalid bytes become U+FFFD, as in the whole text."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    start, text = 0, ""
    for at, chunk in enumerate(chunks):
        text += decoder.decode(chunk)
        if not decoder.getstate()[0]:
            yield TokenSpan(first + start, first + at + 1, text)
            start, text = at + 1, ""
    if start < len(chunks):
        yield TokenSpan(first + start, first + len(chunks), text + decoder.decode(b"", final=True))


def _split_byte_tokens(run: Sequence[bytes], first: int) -> list[TokenSpan]:
    """Spans of a run of SentencePiece byte tokens: characters if it is valid UTF-8, else one U+FFFD per byte."""
    try:
        b"".join(run).decode("utf-8")
    except UnicodeDecodeError:
        return [TokenSpan(first + at, first + at + 1, "\ufffd") for at in range(len(run))]
    return list(_split_bytes(run, first))


def _strip_start(spans: Sequence[TokenSpan], num_chars: int) -> list[TokenSpan]:
    """The spans without the first `num_chars` characters of their joined text."""
    stripped = []
    for span in spans:
        cut = min(num_chars, len(span.text))
        stripped.append(TokenSpan(span.start, span.end, span.text[cut:]) if cut else span)
        num_chars -= cut
    return stripped


def _common_prefix_chars(prefix: str, whole: str) -> int:
    """The length of the common prefix of the two texts."""
    if whole.startswith(prefix):
        return len(prefix)
    return next((at for at, (one, other) in enumerate(zip(prefix, whole, strict=False)) if one != other), len(whole))
