"""fastokens as if it gave wrong ids for some text, here and in workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from counted_pool import CountedPool

from sftdata.encode.tokenizer.encoder import Encoder

_encode_fast = Encoder._encode_fast


def encode_wrongly(self: Encoder, texts: Sequence[str]) -> Any:
    """Other ids for a batch with the word zebra in it."""
    ids, offsets = _encode_fast(self, texts)
    return (ids + 1 if any("zebra" in text for text in texts) else ids), offsets


class PoolThatEncodesWrongly(CountedPool):
    """A pool whose workers do so."""

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        return super().run(partial(wrongly, function), calls)


def wrongly(function: Callable[..., Any], *arguments: Any) -> Any:
    Encoder._encode_fast = encode_wrongly  # type: ignore[method-assign]
    return function(*arguments)
