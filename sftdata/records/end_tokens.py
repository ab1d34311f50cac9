"""Tokens that end a turn or a text, of this and other models, as text at the end of scraped answers.

The filters, `sftdata check`, the summary and `clean.strip_trailing_control` all decide here what such an end is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sftdata.records.record import Message, PlainRecord, Record

# Family -> what its models write at the end of a turn or of a text, from the tokenizer_config.json and the
# generation_config.json that its makers publish. Nothing that opens or closes a part of an answer (</think>,
# </tool_call>, [/INST], <|call|>) is in the table.
END_TOKENS: Mapping[str, tuple[str, ...]] = {
    "GPT-2, Falcon, StableLM, Phi, OLMo, the base models of Qwen": ("<|endoftext|>",),
    "ChatML: Qwen, SmolLM, Yi, InternLM 2, LFM2, Kimi": ("<|im_end|>",),
    "Llama 1 and 2, Mistral, Vicuna, Zephyr, TinyLlama": ("</s>",),
    "Llama 3": ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|finetune_right_pad_id|>"),
    "Llama 4": ("<|eot|>", "<|eom|>", "<|finetune_right_pad|>"),
    "Gemma": ("<end_of_turn>", "<eos>", "<pad>"),
    "Phi-3, Phi-4-mini; gpt-oss": ("<|end|>", "<|return|>"),
    # As published, with the word marks of its tokenizer as spaces or underscores, and in ASCII (also ERNIE 4.5).
    "DeepSeek": (
        *(f"<{bar}end{gap}of{gap}sentence{bar}>" for bar in ("｜", "|") for gap in ("▁", "_", " ")),
        "<｜▁pad▁｜>",
        "<|EOT|>",
    ),
    "Command R": ("<|END_OF_TURN_TOKEN|>", "<EOS_TOKEN>", "<PAD>"),
    "GLM-4, whose turns end where the next one begins": ("<|user|>", "<|observation|>"),
    "OpenChat, Starling": ("<|end_of_turn|>",),
    "EXAONE": ("[|endofturn|]",),
    "InternLM": ("<eoa>",),
    "Kimi": ("[EOS]", "[EOT]", "[PAD]"),
    "Hunyuan": ("<|eos|>", "<|pad|>"),
    "Seed-OSS": ("<seed:eos>", "<seed:pad>"),
    "Apertus": ("<|assistant_end|>",),
}
_OPENED_BY = {"</s>": "<s>"}  # HTML for struck text, whose end is a part of the answer
# Words that end no sentence: "Close the tag with </s>" speaks of the token. The space belongs to it.
_SPEAKS_OF = re.compile(
    r"(?<![^\W_])(?:with|by|after|before|behind|and|or|than|as|called|named|the|an?|its|tokens?|tags?|marker|symbol|"
    r"delimiter|uses?|using|adds?|adding|appends?|appending|writes?|emits?|prints|mit|durch|und|oder|der|die|das|"
    r"eine?|einem|einer|avec|par|et|ou|une?|con|por) [\"'`(\[]?\Z",
    re.IGNORECASE,
)
_BEFORE_SPOKEN_OF = tuple(" \"'`([")  # the last character of what the pattern matches
_WORD_CHARS = 24  # as many as the longest of these words has, with what may be around it


@dataclass(frozen=True)
class EndTokens:
    """The end tokens of the known families and `own`: those of the tokenizer of a run."""

    own: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Everything that decides a result besides the text."""
        return json.dumps(self.strings)

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """All of them, longest first."""
        known = {string for strings in END_TOKENS.values() for string in strings}
        return tuple(sorted({*known, *filter(str.strip, self.own)}, key=lambda string: (-len(string), string)))

    @cached_property
    def prefixes(self) -> list[bytes]:
        """The first bytes of every string in UTF-8, all of the same length, at most 4."""
        in_bytes = [string.encode() for string in self.strings]
        return sorted({string[: min(4, *map(len, in_bytes))] for string in in_bytes})

    @cached_property
    def _tail_chars(self) -> int:
        return min(map(len, self.strings))

    @cached_property
    def _by_tail(self) -> Mapping[str, Sequence[str]]:
        """The strings by their last characters, longest first: most texts end in none of these characters."""
        found: dict[str, list[str]] = {}
        for string in self.strings:
            found.setdefault(string[-self._tail_chars :], []).append(string)
        return found

    def split(self, text: str, question: str | None = None) -> tuple[str, tuple[str, ...]]:
        """The text without the end tokens and the white space at its end, and these tokens; `text` if there are none.

        A token is left in place where the answer needs it: `</s>` if the text opens <s>, a token that the question
        before the answer speaks of, and one behind a word that ends no sentence, as in "Close the tag with </s>".
        """
        by_tail, size = self._by_tail, self._tail_chars
        bare = text.rstrip()
        found: tuple[str, ...] = ()
        while bare[-size:] in by_tail:
            for string in by_tail[bare[-size:]]:
                if bare.endswith(string):
                    break
            else:
                break
            if _belongs_to_answer(string, bare, question):
                break
            bare = bare[: -len(string)].rstrip()
            found = (string, *found)
        return (bare, found) if found else (text, ())

    def trailing(self, record: Record) -> list[str | None]:
        """The last end token of each answer that `strip` would change; None for those that would be empty then."""
        plain = record.plain
        if plain is not None:
            roles, texts = plain.roles, plain.contents
        else:
            roles = tuple(turn.role for turn in record.messages)
            texts = [turn.content or "" for turn in record.messages]
        last: list[str | None] = []
        question: str | None = None
        for role, text in zip(roles, texts, strict=True):
            if role == "assistant":
                answer, tokens = self.split(text, question)
                if tokens:
                    last.append(tokens[-1] if answer else None)
            elif role == "user":
                question = text
        return last

    def strip(self, record: Record) -> tuple[Record, tuple[tuple[str, ...], ...]]:
        """The record without end tokens at the end of its answers, and for each changed answer the tokens there.

        An answer that has nothing else becomes empty. A record without messages is text that is trained as it is.
        """
        stripped: list[tuple[str, ...]] = []
        if isinstance(record, PlainRecord):
            contents = self._contents(record.roles, record.contents, stripped)
            return (PlainRecord(record.roles, contents), tuple(stripped)) if stripped else (record, ())
        messages: Sequence[Message] = record.messages
        texts = self._contents([turn.role for turn in messages], [turn.content or "" for turn in messages], stripped)
        if not stripped:
            return record, ()
        changed = [
            turn if text == (turn.content or "") else turn._replace(content=text)
            for turn, text in zip(messages, texts, strict=True)
        ]
        return record.replaced(messages=tuple(changed)), tuple(stripped)

    def _contents(self, roles: Sequence[str], texts: Sequence[str], stripped: list[tuple[str, ...]]) -> list[str]:
        """The texts, those of the assistant without their ends, which are added to `stripped`."""
        question: str | None = None
        contents = []
        for role, text in zip(roles, texts, strict=True):
            if role == "assistant":
                text, found = self.split(text, question)
                if found:
                    stripped.append(found)
            elif role == "user":
                question = text
            contents.append(text)
        return contents


def _belongs_to_answer(string: str, text: str, question: str | None) -> bool:
    """Whether an end token at the end of an answer is a part of what the answer says."""
    opener = _OPENED_BY.get(string)
    if opener is not None and text.count(opener) >= text.count(string):
        return True
    if question is not None and string in question and string in question.rstrip().removesuffix(string):
        return True
    end = len(text) - len(string)
    if text[end - 1 : end] not in _BEFORE_SPOKEN_OF:
        return False
    return _SPEAKS_OF.search(text, max(0, end - _WORD_CHARS), end) is not None
