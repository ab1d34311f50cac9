"""Renderings, encodings and decoded tokens by transformers alone, on which the oracle bases its judgement.

Control strings in messages are replaced by private-use characters before rendering (`Masks`), so that every control
string in a rendering was written by the template.
"""

from __future__ import annotations

import copy
import datetime
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

# White space as in Rust and Unicode. Python's \s also matches four control characters.
SPACE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"

Chat = list[dict[str, Any]]


# Marks around reasoning, which are text in the contents of messages even if the template does not write them.
THINKING = ("<think>", "</think>")


class Masks:
    """Replaces control strings in text by private-use characters of plane 16, the longest string first."""

    def __init__(self, controls: Sequence[str]) -> None:
        self.controls = sorted(controls, key=lambda text: (-len(text), text))
        self.pattern = re.compile("|".join(map(re.escape, self.controls)) or r"(?!)")
        # SentencePiece decodes its word mark as a space, also in a string that looks like a control token.
        self._spelled = re.compile(self.pattern.pattern.replace("\u2581", "[\u2581 ]"))
        self._chars = {control: chr(0x100000 + i) for i, control in enumerate(self.controls)}
        self._shown = {0x100000 + i: control for i, control in enumerate(self.controls)}

    def hide(self, text: str) -> str:
        """The text with every control string replaced."""
        return self.pattern.sub(lambda match: self._chars[match.group()], text)

    def hide_spelled(self, text: str) -> str:
        """`hide` for text decoded from tokens."""
        chars = {control.replace("\u2581", " "): char for control, char in self._chars.items()}
        return self._spelled.sub(lambda match: chars[match.group().replace("\u2581", " ")], text)

    def show(self, text: str) -> str:
        """Undo `hide`."""
        return text.translate(self._shown)


def change_strings(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a JSON value with all strings changed, including keys."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change_strings(key, change): change_strings(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [change_strings(item, change) for item in value]
    return value


def change_fields(messages: Chat, change: Callable[[str], str]) -> Chat:
    """A copy of messages with every string changed except roles and the types of calls."""
    changed = []
    for message in messages:
        texts = {key: value for key, value in message.items() if key not in ("role", "tool_calls")}
        turn = {"role": message["role"], **change_strings(texts, change)}
        if message.get("tool_calls"):
            calls = change_strings(message["tool_calls"], change)
            turn["tool_calls"] = [{**call, "type": "function"} for call in calls]
        changed.append(turn)
    return changed


class Reference:
    """A tokenizer folder with a template. `ends` are its end-of-turn tokens, written by hand; None means its EOS."""

    own: tuple[str, ...] = THINKING  # marks that are the model's own wherever the tokenizer has them

    def __init__(
        self, folder: Path, ends: Sequence[str] | None, template: str | None = None, date: str = "2026-01-01"
    ) -> None:
        from transformers import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
        self.template = template
        self.today = datetime.datetime.fromisoformat(date)
        self.pipeline = json.loads(self.tokenizer.backend_tokenizer.to_str())
        self.added = {entry["content"]: entry for entry in self.pipeline["added_tokens"]}
        own = self.tokenizer.chat_template
        source = template or (own if isinstance(own, str) else " ".join(own.values()))
        named = {str(token) for token in self.tokenizer.all_special_tokens}
        probe = self._probe()
        self.controls = {
            text: entry["id"]
            for text, entry in self.added.items()
            if text.strip()
            and (entry["special"] or text in named or text in source or text in probe or text in self.own)
        }
        self.writes_thinking = any(mark in source or mark in probe for mark in THINKING)
        self.masks = Masks(list(self.controls))
        wanted = (self.tokenizer.eos_token,) if ends is None else ends
        self.ends = tuple(end for end in wanted if end in self.controls)
        self._plain: Any = None
        self._byte_level = self._find_byte_level()
        self._spelling = self._find_spelling()
        normalizer = json.dumps(self.pipeline["normalizer"])
        self._form: Any = next((form for form in ("NFKC", "NFKD", "NFC", "NFD") if f'"{form}"' in normalizer), "")
        self._strips = [(text, entry) for text, entry in self.added.items() if entry["lstrip"] or entry["rstrip"]]
        self._parts = re.compile(f"({self.masks.pattern.pattern})")
        self._marked = re.compile("(" + "|".join(map(re.escape, self.added)) + ")[ \u2581]*")
        self._ids_of: dict[str, list[int]] = {}

    # Rendering ---------------------------------------------------------------------------------------------------

    def _probe(self) -> str:
        """A rendering of a question and an answer, which may have control strings that the source has only in parts."""
        chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
        try:
            return self.render(chat, None, None, prompt=False) + self.render(chat[:1], None, None, prompt=True)
        except ValueError:
            return ""

    def render(self, messages: Chat, tools: Any, kwargs: Mapping[str, Any] | None, *, prompt: bool) -> str:
        """transformers' rendering. Raises ValueError if the template refuses or fails."""
        import jinja2

        failures = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
        clock = _Clock(self.today)
        try:
            with mock.patch("transformers.utils.chat_template_utils.datetime", clock):
                text = self.tokenizer.apply_chat_template(
                    copy.deepcopy(messages),
                    tools=copy.deepcopy(tools) or None,
                    chat_template=self.template,
                    tokenize=False,
                    add_generation_prompt=prompt,
                    **(kwargs or {}),
                )
        except (jinja2.exceptions.TemplateError, *failures) as error:
            raise ValueError(str(error)) from error
        assert isinstance(text, str)
        return text

    # Encoding ----------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int] | None:
        """The ids of a rendering with hidden control strings; None if they cannot be derived.

        Without hidden strings, these are the ids of the tokenizer itself. With them, and for byte-level tokenizers, the
        text between the template's control tokens is encoded by a tokenizer without control tokens.
        """
        shown = self.masks.show(text)
        if shown == text:
            if text not in self._ids_of:
                if len(self._ids_of) > 200:
                    self._ids_of.clear()
                self._ids_of[text] = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
            return self._ids_of[text]
        if not self.is_byte_level():
            return None
        if not self.controls:
            return None
        ids: list[int] = []
        for part in self._parts.split(text):
            ids += [self.controls[part]] if part in self.controls else self._encode_plain(self.masks.show(part))
        return ids

    def is_byte_level(self) -> bool:
        """Whether text between control tokens has the same ids as on its own."""
        return self._byte_level

    def _find_byte_level(self) -> bool:
        kinds = json.dumps([self.pipeline["pre_tokenizer"], self.pipeline["normalizer"]])
        strips = any(entry[key] for entry in self.added.values() for key in ("lstrip", "rstrip", "single_word"))
        marks = '"Prepend"' in kinds or '"add_prefix_space": true' in kinds
        return '"ByteLevel"' in kinds and not marks and not strips

    def _encode_plain(self, text: str) -> list[int]:
        if self._plain is None:
            from tokenizers import Tokenizer

            left = [entry for entry in self.pipeline["added_tokens"] if entry["content"] not in self.controls]
            plain = {**self.pipeline, "added_tokens": left, "post_processor": None, "padding": None, "truncation": None}
            self._plain = Tokenizer.from_str(json.dumps(plain))
            self._lost = {self._plain.token_to_id(entry["content"]): entry["id"] for entry in left}
        return [self._lost.get(id_, id_) for id_ in self._plain.encode(text, add_special_tokens=False).ids]

    def _find_spelling(self) -> Callable[[str], bytes]:
        """A function from a token of the model to its bytes: by GPT-2's byte characters, or as in SentencePiece."""
        from transformers.convert_slow_tokenizer import bytes_to_unicode

        byte_of = {char: byte for byte, char in bytes_to_unicode().items()}
        if '"ByteLevel"' in json.dumps([self.pipeline["pre_tokenizer"], self.pipeline["decoder"]]):
            return lambda token: bytes(byte_of[char] for char in token)
        return lambda token: (
            bytes([int(token[3:5], 16)])
            if re.fullmatch(r"<0x[0-9A-F]{2}>", token)
            else token.replace("\u2581", " ").encode()
        )

    def spell(self, ids: Sequence[int]) -> str:
        """The text of ids, token by token, without the decoder's changes to spaces. Control strings are hidden."""
        spelled, text = "", b""
        for token in [*self.tokenizer.convert_ids_to_tokens(list(ids)), ""]:
            if token and token not in self.added:
                text += self._spelling(token)
                continue
            spelled += self.masks.hide_spelled(text.decode("utf-8", "replace")) + token
            text = b""
        return spelled

    def normal(self, text: str) -> str:
        """The text with the changes that the tokenizer makes: normalized, and stripped around added tokens."""
        for token, entry in self._strips:
            if entry["rstrip"]:
                text = re.sub(re.escape(token) + SPACE, lambda _, token=token: token, text)
            if entry["lstrip"]:
                text = re.sub(SPACE + re.escape(token), lambda _, token=token: token, text)
        text = unicodedata.normalize(self._form, text) if self._form else text
        if self.is_byte_level():
            return text
        # SentencePiece cannot tell its word mark from a space, and may write one after an added token.
        return self._marked.sub(lambda match: match.group(1), text).replace("\u2581", " ")

    def decodes_to(self, ids: Sequence[int], text: str, *, after: str = "") -> bool:
        """Whether ids that follow the text `after` decode to the text, with the changes that the tokenizer makes.

        A SentencePiece tokenizer may add a space at the start and after an added token.
        """
        before, both = self.normal(after), self.normal(after + text)
        wanted = both[len(before) :] if both.startswith(before) else self.normal(text)
        spelled = self.normal(self.spell(ids))
        spaced = not self.is_byte_level() and (not after or any(before.endswith(token) for token in self.added))
        return spelled == wanted or (spaced and spelled.lstrip(" ") == wanted.lstrip(" "))


@dataclass(frozen=True)
class _Clock:
    """Replaces the datetime class. `now` is always the same time."""

    today: datetime.datetime

    def now(self) -> datetime.datetime:
        return self.today
