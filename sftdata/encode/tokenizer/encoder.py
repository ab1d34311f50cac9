"""Text -> ids, with fastokens if it gives the same ids as Hugging Face tokenizers, otherwise with tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.encode.options import Backend
from sftdata.errors import TokenizerError, first_line, is_fault_of_library

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]

# Kinds of strings on which encoders have been seen to differ: white space, digits, case, combining marks, scripts
# without spaces, emoji sequences, bytes that are not in the vocabulary, repeated characters, contractions.
TRICKY_PARTS = (
    "",
    " ",
    "  ",
    "\n",
    "\n\n",
    " \n \n",
    "\t\tx",
    "a  b   c    d",
    "trailing  ",
    "  leading",
    "\r\n\r\n",
    "\u00a0\u2003x",
    "1",
    "12 345 6789 0.12e-7",
    "it's WE'RE I'll they'd 's",
    "don\u2019t",
    "e\u0301 \u00e9 \u212b \u1e9b\u0323",
    "\ufb01ne \u2460",
    "def f(x):\n    return x\n\n\n\tpass",
    "<|x|> <b></b> [INST] {{a}}",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002",
    "\u3053\u3093\u306b\u3061\u306f",
    "\uc548\ub155",
    "\u0645\u0631\u062d\u0628\u0627",
    "\u0939\u093f\u0928\u094d\u0926\u0940",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\U0001f469\u200d\U0001f4bb\U0001f1e9\U0001f1ea\ufe0f",
    "\u0000\u0001\u007f\u200b\ufeff",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "==========---------",
    "\ue000\uf8ff\U0010fffd",
    "x" * 300,
    "\u2581a \u2581 \u2581",
)
TRICKY_TEXTS = (*TRICKY_PARTS, *(f"{a}{b}" for a in TRICKY_PARTS[5:12] for b in TRICKY_PARTS[12:20]))


class Encoder:
    """A tokenizer.json, ready to encode batches without adding special tokens.

    `backend` is the library to use. None means fastokens if it loads the tokenizer and gives the ids of tokenizers for
    tricky texts, otherwise tokenizers. With self_test=False it uses fastokens without that test, and the caller must
    call `agrees` before it trusts the ids.

    `token_ids` maps entries of the vocabulary to the ids they must have. If the library gives one of them another id,
    ids are translated. Raises TokenizerError on first use, if a library that is needed cannot load the tokenizer.
    """

    def __init__(
        self,
        tokenizer_json: str,
        backend: Backend | None = None,
        token_ids: Mapping[str, int] | None = None,
        *,
        self_test: bool = True,
    ) -> None:
        self._tokenizer_json = tokenizer_json
        self._requested = backend
        self._self_test = self_test
        self._token_ids = token_ids or {}

    @cached_property
    def _fast(self) -> Any:
        """The tokenizer of fastokens; None if another library was requested or fastokens cannot load it."""
        if self._requested == "tokenizers":
            return None
        try:
            return _load_fastokens(self._tokenizer_json)
        except TokenizerError:
            if self._requested is None:
                return None
            raise

    @cached_property
    def _slow(self) -> Any:
        """The tokenizer of tokenizers."""
        return _load_tokenizers(self._tokenizer_json)

    @cached_property
    def backend(self) -> Backend:
        """The library that encodes."""
        if self._requested is not None:
            return self._requested
        is_fast = self._fast is not None and (not self._self_test or self._passes_self_test)
        return "fastokens" if is_fast else "tokenizers"

    @cached_property
    def _translation(self) -> Ids | None:
        """A table from the library's ids to those of `token_ids`; None if they are the same."""
        id_of = (self._fast if self.backend == "fastokens" else self._slow).token_to_id
        moved = {found: id_ for token, id_ in self._token_ids.items() if (found := id_of(token)) not in (id_, None)}
        if not moved:
            return None
        table = np.arange(1 + max([*moved, *moved.values()]), dtype=np.int32)
        for found, id_ in moved.items():
            table[found] = id_
        return np.concatenate([table, np.arange(len(table), len(table) + (1 << 20), dtype=np.int32)])

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        """The ids of all texts in one array, and len(texts) + 1 offsets into it."""
        ids, offsets = self._encode(texts)
        return (ids if self._translation is None else self._translation[ids]), offsets

    def _encode(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        return self._encode_fast(texts) if self.backend == "fastokens" else self._encode_slow(texts)

    def _encode_fast(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        try:
            ids, offsets = self._fast.encode_batch_flat(list(texts))
        except BaseException as error:  # such as a byte that is not in the vocabulary, which tokenizers leaves out
            if not is_fault_of_library(error):
                raise
            return self._encode_slow(texts)
        return np.frombuffer(ids, np.uint32).view(np.int32), np.frombuffer(offsets, np.uint64).view(np.int64)

    def _encode_slow(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        lists = [encoding.ids for encoding in self._slow.encode_batch_fast(list(texts), add_special_tokens=False)]
        starts = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(ids) for ids in lists], out=starts[1:])
        flat = np.fromiter((id_ for ids in lists for id_ in ids), np.int32, count=int(starts[-1]))
        return flat, starts

    def encode_each(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, one array per text."""
        ids, offsets = self.encode(texts)
        return [ids[offsets[i] : offsets[i + 1]] for i in range(len(texts))]

    def agrees(self, texts: Sequence[str]) -> bool:
        """Whether the backend gives the ids of tokenizers for tricky texts and for these texts."""
        return self.backend == "tokenizers" or (self._passes_self_test and self._gives_same_ids(texts))

    @cached_property
    def _passes_self_test(self) -> bool:
        """Whether fastokens gives the ids of tokenizers for tricky texts. Raises TokenizerError if tokenizers fails."""
        try:
            return self._gives_same_ids(TRICKY_TEXTS)
        except BaseException as error:
            if not is_fault_of_library(error):
                raise
            what = f"is loaded by tokenizers, which then fails on text ({first_line(error)[:200]})"
            raise TokenizerError("tokenizer.json", what, "download it again") from error

    def _gives_same_ids(self, texts: Sequence[str]) -> bool:
        """Whether fastokens and tokenizers give the same ids."""
        ids, offsets = self._encode_fast(texts)
        expected, expected_offsets = self._encode_slow(texts)
        return np.array_equal(ids, expected) and np.array_equal(offsets, expected_offsets)

    def token_to_id(self, token: str) -> int | None:
        """The id of an entry of the vocabulary, or None."""
        id_: int | None = (self._slow if self._fast is None else self._fast).token_to_id(token)
        return id_


def _load_fastokens(tokenizer_json: str) -> Any:
    try:
        import fastokens

        return fastokens.Tokenizer.from_json_str(tokenizer_json)
    except BaseException as error:
        if not is_fault_of_library(error):
            raise
        what = f"cannot be loaded by fastokens ({first_line(error)[:200]})"
        raise TokenizerError("tokenizer.json", what, "set encoder to auto or hf") from error


def _load_tokenizers(tokenizer_json: str) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(tokenizer_json)
    except BaseException as error:
        if not is_fault_of_library(error):
            raise
        hint = "check that the file is complete"
        raise TokenizerError("tokenizer.json", f"cannot be loaded ({first_line(error)[:200]})", hint) from error
