"""Text -> ids: the fast encoder where it is exact, Hugging Face tokenizers elsewhere. Which one never changes an id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.encode.options import Backend
from sftdata.errors import TokenizerError

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]

# Strings on which encoders have been seen to differ: white space of all kinds, digits, case, marks that compose,
# scripts without spaces, emoji sequences, bytes that are no character of the vocabulary, runs, contractions.
PROBE = (
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
HARD = (*PROBE, *(f"{a}{b}" for a in PROBE[5:12] for b in PROBE[12:20]))


class Encoder:
    """One tokenizer.json, ready to encode batches without adding special tokens.

    `asked` is the library to use; None is fastokens where it loads the tokenizer and agrees with tokenizers on hard
    strings, else tokenizers. With `tried_later` it need not agree: the caller asks `agrees`.

    `names` are entries of the vocabulary and the ids they must have; where the library gave
    one another id, ids are translated. Raises TokenizerError when first used, where a library that is needed cannot
    load the tokenizer.
    """

    def __init__(
        self,
        pipeline: str,
        asked: Backend | None = None,
        names: Mapping[str, int] | None = None,
        *,
        tried_later: bool = False,
    ) -> None:
        self._pipeline = pipeline
        self._asked = asked
        self._tried_later = tried_later
        self._names = names or {}

    @cached_property
    def _fast(self) -> Any:
        """fastokens' tokenizer, or None where it is not asked for or does not take this one."""
        if self._asked == "tokenizers":
            return None
        try:
            return _load_fast(self._pipeline)
        except TokenizerError:
            if self._asked is None:
                return None
            raise

    @cached_property
    def _slow(self) -> Any:
        return _load_slow(self._pipeline)

    @cached_property
    def backend(self) -> Backend:
        """The library that encodes."""
        if self._asked is not None:
            return self._asked
        is_fast = self._fast is not None and (self._tried_later or self._agrees_on_hard)
        return "fastokens" if is_fast else "tokenizers"

    @cached_property
    def _translation(self) -> Ids | None:
        """A table from the library's ids to the ids wanted, or None where they are the same."""
        id_of = (self._fast if self.backend == "fastokens" else self._slow).token_to_id
        moved = {found: id_ for name, id_ in self._names.items() if (found := id_of(name)) not in (id_, None)}
        if not moved:
            return None
        table = np.arange(1 + max([*moved, *moved.values()]), dtype=np.int32)
        for found, id_ in moved.items():
            table[found] = id_
        return np.concatenate([table, np.arange(len(table), len(table) + (1 << 20), dtype=np.int32)])

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        """Ids of all texts in one array, and len(texts) + 1 offsets into it."""
        ids, offsets = self._encode(texts)
        return (ids if self._translation is None else self._translation[ids]), offsets

    def _encode(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        return self._encode_fast(texts) if self.backend == "fastokens" else self._encode_slowly(texts)

    def _encode_fast(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        try:
            ids, offsets = self._fast.encode_batch_flat(list(texts))
        except ValueError:  # a byte that the vocabulary lacks: tokenizers leaves it out
            return self._encode_slowly(texts)
        return np.frombuffer(ids, np.uint32).view(np.int32), np.frombuffer(offsets, np.uint64).view(np.int64)

    def _encode_slowly(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        lists = [encoding.ids for encoding in self._slow.encode_batch_fast(list(texts), add_special_tokens=False)]
        starts = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(ids) for ids in lists], out=starts[1:])
        flat = np.fromiter((id_ for ids in lists for id_ in ids), np.int32, count=int(starts[-1]))
        return flat, starts

    def encode_each(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of every text, one array each."""
        ids, offsets = self.encode(texts)
        return [ids[offsets[i] : offsets[i + 1]] for i in range(len(texts))]

    def agrees(self, texts: Sequence[str]) -> bool:
        """Whether hard strings, and these texts, have the ids that tokenizers gives them."""
        return self.backend == "tokenizers" or (self._agrees_on_hard and self._is_exact(texts))

    @cached_property
    def _agrees_on_hard(self) -> bool:
        return self._is_exact(HARD)

    def _is_exact(self, texts: Sequence[str]) -> bool:
        ids, offsets = self._encode_fast(texts)
        wanted, wanted_offsets = self._encode_slowly(texts)
        return np.array_equal(ids, wanted) and np.array_equal(offsets, wanted_offsets)

    def token_to_id(self, token: str) -> int | None:
        """The id of an entry of the vocabulary."""
        id_: int | None = (self._slow if self._fast is None else self._fast).token_to_id(token)
        return id_


def _load_fast(pipeline: str) -> Any:
    try:
        import fastokens

        return fastokens.Tokenizer.from_json_str(pipeline)
    except (ImportError, ValueError, RuntimeError, OSError) as error:
        why = f"cannot be loaded by fastokens: {error}"
        raise TokenizerError("tokenizer.json", why, "set encoder: auto or hf") from error


def _load_slow(pipeline: str) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(pipeline)
    except Exception as error:
        raise TokenizerError("tokenizer.json", f"cannot be loaded: {error}", "see what the folder holds") from error
