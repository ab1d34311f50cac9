"""What answers say that gives them away: boilerplate of other models, refusals, and words that end no sentence."""

from __future__ import annotations

import re

_I_AM = r"I(?:['’]m| am)"
_BOILERPLATE = re.compile(
    rf"\b(?:as|{_I_AM}(?: just| only)?) an? "
    r"(?:(?:AI|artificial intelligence|large)[ -]language[ -]model|AI model)\b",
    re.IGNORECASE,
)

_MODELS = (
    r"ChatGPT|GPT-?[345]|Claude|Bard|Gemini|Bing Chat|LLaMA|Llama|Mistral|Vicuna|Alpaca|Qwen|DeepSeek|Grok|"
    r"Open ?Assistant"
)
_MAKERS = (
    r"OpenAI|Anthropic|Google(?: DeepMind)?|Meta(?: AI)?|Mistral AI|DeepSeek|Alibaba Cloud|Microsoft|xAI|LMSYS|"
    r"Large Model Systems Organization"
)
_IDENTITY = re.compile(
    rf"\b(?:{_I_AM}|my name is|known as|go by the name|call me) (?:an? )?(?:{_MODELS})\b"
    r"|\b(?:model|assistant|AI|and was|I was) (?:\w+ )?(?:trained|created|developed|made|built) by "
    rf"(?:researchers (?:at|from) )?(?:{_MAKERS})\b"
)

_SORRY = (
    rf"(?:{_I_AM}(?: so| very| really)? sorry|(?:my )?apologies|I apologi[sz]e|sorry|unfortunately"
    r"|as an AI[\w ]{0,40})"
)
_ABLE = r"(?:the )?(?:ability|capability|capacity)"
_UNABLE = (
    r"I (?:cannot|can['’]?t|can not|won['’]t|will not|am unable to|am not able to|must decline"
    rf"|(?:don['’]t|do not) have {_ABLE})|I['’]m (?:unable|not able) to"
    r"|it (?:is|would be) (?:not appropriate|inappropriate|unethical|against)"
)
_TO_DO = (
    r"assist|help|answer|comply|fulfill|provide|perform|do (?:that|this)|generate|create|discuss|engage|support|"
    r"complete|write|access|offer|give|share|respond|book|place|order|make|browse|retrieve|process|predict|physically|directly"
)
# Either an excuse and an inability, or an inability to do what assistants do: "I can't wait to see you" is neither.
_REFUSAL = re.compile(
    rf"\W*(?:{_SORRY}\b[^.!?\n]{{0,40}}?[,.!]?(?: but)? (?:{_UNABLE})"
    rf"|(?:{_UNABLE}) (?:to )?(?:be able to )?(?:{_TO_DO})\b)",
    re.IGNORECASE,
)

# Left out are words that do end a sentence where somebody chats, as in "what are you thinking about".
_MIDDLE_WORDS = {
    "en": "a an the and or but nor of to from with into than their our your my its because if whose which",
    "de": "der die das und oder ein eine einen mit für von zum zur",
    "fr": "le la les un une et ou de des du avec pour",
    "es": "el los las una y con para por",
}
_ENDS_NO_SENTENCE = frozenset(word for words in _MIDDLE_WORDS.values() for word in words.split())
_LAST_WORD = re.compile(r"(?<![^\W_])[^\W\d_]+\Z")


def boilerplate(text: str) -> str | None:
    """The words with which a model speaks of itself as one, or None."""
    found = _BOILERPLATE.search(text) if "odel" in text else None
    return found.group() if found else None


def foreign_identity(text: str) -> str | None:
    """The words that say another maker's model is speaking, or None."""
    found = _IDENTITY.search(text)
    return found.group() if found else None


def refusal(text: str) -> str | None:
    """The words that decline, where the text begins with them, or None."""
    found = _REFUSAL.match(text)
    return found.group() if found else None


def unfinished_end(text: str) -> str | None:
    """The last word or mark of a text where no sentence ends with it, or None."""
    if text[-1:] in ",:，、：" and text[-2:-1].isalpha():
        return text[-1:]
    if not text[-1:].isalpha():
        return None
    found = _LAST_WORD.search(text[-12:])
    return found.group() if found and found.group().lower() in _ENDS_NO_SENTENCE else None
