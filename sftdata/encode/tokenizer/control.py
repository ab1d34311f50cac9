"""Control tokens, and how message text that looks like one stays text.

A control token is an added token that is special, or that the chat template writes as a marker. Three spellings of it:

    literal      <|im_end|>             in the template's output, in the user's text, in tokenizer.json
    placeholder  \\ue002sftdata:7\\ue003  stands for the literal in message text while the template renders it
    private      \\x01sftdata:7\\x02      the token's name in the guarded tokenizer, the only text that gives its id

The private name is ASCII, so that a text of ASCII stays one when it is put together with it.

So after rendering protected fields, every literal was written by the template; it becomes the private name, the
placeholders become the user's text again, and one plain encode by the guarded tokenizer gives control ids exactly
where the template asked for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import orjson

from sftdata.encode.tokenizer.load import AddedToken, TokenizerFiles, parse_pipeline

Merges = Sequence[str | Sequence[str]]

NAMESPACE = "sftdata:"
PRIVATE = "\x01" + NAMESPACE  # how every private name begins
PLACEHOLDER = "\ue002" + NAMESPACE  # how every placeholder begins
RESERVED = (PRIVATE[0], PLACEHOLDER[0])  # hardly any text has these characters, and one of them is found fast


class ControlTokens:
    """The control tokens of one tokenizer under one template."""

    def __init__(self, tokens: Sequence[AddedToken]) -> None:
        self.tokens = tuple(tokens)
        self.ids = frozenset(token.id for token in tokens)
        self._id_of = {token.content: token.id for token in tokens}
        # The longest first: where one literal begins another, the tokenizer matches the longest.
        literals = sorted(self._id_of, key=lambda text: (-len(text), text))
        self._literal = re.compile("|".join(map(re.escape, literals)) or r"(?!)")
        self._placeholder = re.compile("\ue002sftdata:(\\d+)\ue003")
        self._private = re.compile("\x01sftdata:(\\d+)\x02")
        self._text_of = {token.id: token.content for token in tokens}
        self._first_chars = "".join(sorted({text[0] for text in literals}))
        self._first_char = self._first_chars if len(self._first_chars) == 1 else None  # most often <
        self.has_blank_ends = any(text != text.rstrip() for text in literals)
        in_bytes = [text.encode() for text in literals]
        self.heads = sorted({text[: min(4, *map(len, in_bytes))] for text in in_bytes})  # what they begin with in UTF-8

    def id_of(self, literal: str) -> int | None:
        """The id of a control token by its text."""
        return self._id_of.get(literal)

    def find(self, text: str) -> list[str]:
        """The control strings that stand in a text, in order."""
        if self._first_char is not None:
            start = text.find(self._first_char)
        else:
            start = min([at for char in self._first_chars if (at := text.find(char)) >= 0], default=-1)
        return [] if start < 0 else self._literal.findall(text, start)

    def protect(self, text: str) -> str:
        """Message text with a placeholder for every control string."""
        if not self.find(text):
            return text
        return self._literal.sub(lambda match: f"{PLACEHOLDER}{self._id_of[match.group()]}\ue003", text)

    def unprotect(self, text: str) -> str:
        """`protect` undone."""
        if "\ue002" not in text:
            return text
        return self._placeholder.sub(lambda match: self._text_of[int(match.group(1))], text)

    def guard(self, text: str) -> str:
        """A rendering of protected fields as the guarded tokenizer takes it."""
        return self.unprotect(self._literal.sub(lambda match: private_name(self._id_of[match.group()]), text))

    def reveal(self, guarded: str) -> str:
        """`guard` undone: private names as the literals they stand for."""
        if PRIVATE not in guarded:
            return guarded
        return self._private.sub(lambda match: self._text_of[int(match.group(1))], guarded)


def private_name(token_id: int) -> str:
    """The name that a control token has in the guarded tokenizer."""
    return f"{PRIVATE}{token_id}\x02"


def control_tokens(files: TokenizerFiles, template_texts: Iterable[str]) -> ControlTokens:
    """The added tokens that are special, that the tokenizer names, or that stand in a template text.

    `template_texts` are the template's sources and what it writes for probe conversations. White space is no marker.
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


def guard_pipeline(files: TokenizerFiles, control: ControlTokens) -> str:
    """tokenizer.json in which each control token has its private name instead of its text. The last ones are kept.

    It has no post-processor, padding or truncation: what is encoded is the text. Private names are matched in the text
    as it is, before a normalizer could change them.
    """
    return _guarded(files.json, tuple((token.content, private_name(token.id)) for token in control.tokens))


@lru_cache(maxsize=2)
def _guarded(data: bytes, renamed: tuple[tuple[str, str], ...]) -> str:
    """A tokenizer.json with the tokens renamed."""
    names = dict(renamed)
    pipeline = parse_pipeline(data)
    added = [
        {**entry, "content": names[entry["content"]], "normalized": False} if entry["content"] in names else entry
        for entry in pipeline.get("added_tokens") or []
    ]
    guarded = {
        **pipeline,
        "added_tokens": added,
        "model": _guarded_model(pipeline["model"], names),
        "post_processor": None,
        "padding": None,
        "truncation": None,
    }
    return orjson.dumps(guarded).decode()


def _guarded_model(model: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The model with the same renaming, so that no merge or piece of plain text reaches a control id."""
    renamed = dict(model)
    vocab = model.get("vocab")
    merges = _as_texts(model.get("merges") or [])
    moved = [token for token in names if token in vocab] if isinstance(vocab, dict) else []
    if isinstance(vocab, dict) and moved:
        renamed["vocab"] = {**vocab, **{names[token]: vocab[token] for token in moved}}
        for token in moved:
            del renamed["vocab"][token]
        merges = _without(merges, moved)
    elif isinstance(vocab, list):
        renamed["vocab"] = [[names.get(piece, piece), score] for piece, score in vocab]
    if merges:
        renamed["merges"] = merges
    if model.get("unk_token") in names:
        renamed["unk_token"] = names[model["unk_token"]]
    return renamed


def _as_texts(merges: Merges) -> Merges:
    """Merge rules in the older form, "a b", where all can be written so: it is loaded in three quarters of the time.

    In that form tokenizers passes by what begins with #version.
    """
    if not all(map(isinstance, merges, repeat(list))):
        return merges
    texts = list(map(" ".join, merges))
    lines = "\n".join(["", *texts])
    one_space = set(map(len, merges)) == {2} and lines.count(" ") == len(texts)
    return texts if one_space and "\n#version" not in lines else merges


def _without(merges: Merges, tokens: Iterable[str]) -> Merges:
    """The merge rules but for those that make one of these tokens."""
    pairs = {(token[:at], token[at:]) for token in tokens for at in range(1, len(token))}
    if set(map(type, merges)) != {str}:
        return [merge for merge in merges if isinstance(merge, str) or tuple(merge) not in pairs]
    texts = {f"{left} {right}" for left, right in pairs if " " not in left}
    return merges if texts.isdisjoint(merges) else [merge for merge in merges if merge not in texts]
