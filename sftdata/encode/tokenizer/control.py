"""Control tokens, and how message text that looks like one stays text.

A control token is an added token that is special, or that the chat template writes as a marker. A control token is
written in one of three ways:

    literal      <|im_end|>             in the template's output, in message text, in tokenizer.json
    placeholder  \\ue002sftdata:7\\ue003  replaces the literal in message text while the template renders it
    private      \\x01sftdata:7\\x02      the token's name in the guarded tokenizer

Text is encoded in four steps:

    protect   replace literals in message text by placeholders
    render    the template writes the conversation; every literal in it now comes from the template
    guard     replace these literals by private names, and placeholders by the message's own text again
    encode    with the guarded tokenizer, which knows control tokens by their private names only

So control ids appear exactly where the template wrote control tokens. Private names are ASCII, so that ASCII text stays
ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import orjson

from sftdata.encode.tokenizer.load import AddedToken, TokenizerFiles, parse_tokenizer_json

Merges = Sequence[str | Sequence[str]]

NAMESPACE = "sftdata:"
PRIVATE = "\x01" + NAMESPACE  # every private name starts with this
PLACEHOLDER = "\ue002" + NAMESPACE  # every placeholder starts with this
RESERVED = (PRIVATE[0], PLACEHOLDER[0])  # characters that hardly any text contains


class ControlTokens:
    """The control tokens of one tokenizer with one template."""

    def __init__(self, tokens: Sequence[AddedToken]) -> None:
        self.tokens = tuple(tokens)
        self.ids = frozenset(token.id for token in tokens)
        self._id_of = {token.content: token.id for token in tokens}
        # Longest first: if one literal is a prefix of another, the tokenizer matches the longer one.
        literals = sorted(self._id_of, key=lambda text: (-len(text), text))
        self._literal = re.compile("|".join(map(re.escape, literals)) or r"(?!)")
        self._placeholder = re.compile("\ue002sftdata:(\\d+)\ue003")
        self._private = re.compile("\x01sftdata:(\\d+)\x02")
        self._text_of = {token.id: token.content for token in tokens}
        self._first_chars = "".join(sorted({text[0] for text in literals}))
        self._first_char = self._first_chars if len(self._first_chars) == 1 else None  # usually <
        in_bytes = [text.encode() for text in literals]
        # The first bytes of every literal in UTF-8, all of the same length, at most 4.
        self.prefixes = sorted({text[: min(4, *map(len, in_bytes))] for text in in_bytes})

    def id_of(self, literal: str) -> int | None:
        """The id of the control token with this literal, or None."""
        return self._id_of.get(literal)

    def find(self, text: str) -> list[str]:
        """The control strings in a text, in order."""
        if self._first_char is not None:
            start = text.find(self._first_char)
        else:
            start = min([at for char in self._first_chars if (at := text.find(char)) >= 0], default=-1)
        return [] if start < 0 else self._literal.findall(text, start)

    def pieces(self, text: str) -> list[str]:
        """A text cut before and behind every control string in it; no piece is empty."""
        cuts = [0, *(place for match in self._literal.finditer(text) for place in match.span()), len(text)]
        return [text[a:b] for a, b in zip(cuts, cuts[1:]) if a < b]

    def protect(self, text: str) -> str:
        """Message text with every control string replaced by its placeholder."""
        if not self.find(text):
            return text
        return self._literal.sub(lambda match: f"{PLACEHOLDER}{self._id_of[match.group()]}\ue003", text)

    def unprotect(self, text: str) -> str:
        """Undo `protect`."""
        if "\ue002" not in text:
            return text
        return self._placeholder.sub(lambda match: self._text_of[int(match.group(1))], text)

    def guard(self, text: str) -> str:
        """A rendering of protected fields as text for the guarded tokenizer."""
        return self.unprotect(self._literal.sub(lambda match: private_name(self._id_of[match.group()]), text))

    def reveal(self, guarded: str) -> str:
        """Undo `guard`: replace private names by literals."""
        if PRIVATE not in guarded:
            return guarded
        return self._private.sub(lambda match: self._text_of[int(match.group(1))], guarded)


def private_name(token_id: int) -> str:
    """The private name of a control token."""
    return f"{PRIVATE}{token_id}\x02"


def control_tokens(files: TokenizerFiles, template_texts: Iterable[str]) -> ControlTokens:
    """The added tokens that are special, that are named (such as eos_token), or that a template text contains.

    `template_texts` are the template's sources and its renderings of probes. White space is never a control token.
    """
    texts = list(template_texts)
    named = set(files.special_tokens.values())
    return ControlTokens(
        [
            token
            for token in files.added_tokens()
            if token.content.strip()
            and (token.special or token.content in named or any(token.content in text for text in texts))
        ]
    )


def guarded_tokenizer_json(files: TokenizerFiles, control: ControlTokens) -> str:
    """The guarded tokenizer: tokenizer.json with control tokens under their private names. The last two are cached.

    It has no post-processor, padding or truncation, so that nothing is added to the text. Private names are matched
    before normalization, which might change them.
    """
    names = tuple((token.content, private_name(token.id)) for token in control.tokens)
    return _rename_tokens(files.tokenizer_json, names)


@lru_cache(maxsize=2)
def _rename_tokens(data: bytes, renamed: tuple[tuple[str, str], ...]) -> str:
    """A tokenizer.json with tokens renamed: pairs of old and new name."""
    names = dict(renamed)
    spec = parse_tokenizer_json(data)
    added = [
        {**entry, "content": names[entry["content"]], "normalized": False} if entry["content"] in names else entry
        for entry in spec.get("added_tokens") or []
    ]
    guarded = {
        **spec,
        "added_tokens": added,
        "model": _rename_in_model(spec["model"], names),
        "post_processor": None,
        "padding": None,
        "truncation": None,
    }
    return orjson.dumps(guarded).decode()


def _rename_in_model(model: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The model with the same tokens renamed, so that plain text cannot give a control id by merges or pieces."""
    renamed = dict(model)
    vocab = model.get("vocab")
    merges = _merges_as_text(model.get("merges") or [])
    moved = [token for token in names if token in vocab] if isinstance(vocab, dict) else []
    if isinstance(vocab, dict) and moved:
        renamed["vocab"] = {**vocab, **{names[token]: vocab[token] for token in moved}}
        for token in moved:
            del renamed["vocab"][token]
        merges = _merges_without(merges, moved)
    elif isinstance(vocab, list):
        renamed["vocab"] = [[names.get(piece, piece), score] for piece, score in vocab]
    if merges:
        renamed["merges"] = merges
    if model.get("unk_token") in names:
        renamed["unk_token"] = names[model["unk_token"]]
    return renamed


def _merges_as_text(merges: Merges) -> Merges:
    """Merges in the older format "a b", if all can be written so: loading it takes three quarters of the time.

    Merges that start with #version cannot, because tokenizers ignores them in this format.
    """
    if not all(map(isinstance, merges, repeat(list))):
        return merges
    texts = list(map(" ".join, merges))
    lines = "\n".join(["", *texts])
    one_space = set(map(len, merges)) == {2} and lines.count(" ") == len(texts)
    return texts if one_space and "\n#version" not in lines else merges


def _merges_without(merges: Merges, tokens: Iterable[str]) -> Merges:
    """The merges that do not produce one of these tokens."""
    pairs = {(token[:at], token[at:]) for token in tokens for at in range(1, len(token))}
    if set(map(type, merges)) != {str}:
        return [merge for merge in merges if isinstance(merge, str) or tuple(merge) not in pairs]
    texts = {f"{left} {right}" for left, right in pairs if " " not in left}
    return merges if texts.isdisjoint(merges) else [merge for merge in merges if merge not in texts]
