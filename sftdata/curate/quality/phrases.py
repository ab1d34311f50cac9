"""Phrases that mark a poor answer: boilerplate of other models, refusals, and words that do not end a sentence."""

from __future__ import annotations

import re

from sftdata.curate.quality.residue import outside_code

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
# Things that a person declines, but an assistant is never asked for: "I'm sorry, I can't come to work today."
_TO_BE_THERE = r"come|attend|join|make it|be (?:there|at|with)|go (?:to|home|out|with)|meet (?:you|up|with)"
# Either an apology and an inability, or an inability to do what assistants do: "I can't wait to see you" is neither.
_REFUSAL = re.compile(
    rf"\W*(?:{_SORRY}\b[^.!?\n]{{0,40}}?[,.!]?(?: but)? (?:{_UNABLE})(?! (?:{_TO_BE_THERE})\b)"
    rf"|(?:{_UNABLE}) (?:to )?(?:be able to )?(?:{_TO_DO})\b)",
    re.IGNORECASE,
)
# Not a refusal but a request for information: "I cannot determine the angle without more information."
_ASKS_BACK = re.compile(
    r"\b(?:without|(?:would|I|we|I['’]d|we['’]d) need|requires?)\b[^.!?\n]{0,30}"
    r"\b(?:additional|more|further) (?:information|details|context|data)\b",
    re.IGNORECASE,
)

# Without words that do end a sentence in casual chat, as in "what are you thinking about".
_MIDDLE_WORDS = {
    "en": "a an the and or but nor of to from with into than their our your my its because if whose which",
    "de": "der die das und oder ein eine einen mit für von zum zur",
    "fr": "le la les un une et ou de des du avec pour",
    "es": "el los las una y con para por",
}
_ENDS_NO_SENTENCE = frozenset(word for words in _MIDDLE_WORDS.values() for word in words.split())
# Some of these sometimes do end a sentence: "someone to swim with", "we all must die", "das bringe ich mit".
_RARELY_ENDS = frozenset(["of", "to", "from", "with", "into", "die", "das", "der", "ein", "an", "mit", "von", "avec"])
_SENTENCE_END = re.compile(r"[.!?][\"'”’)]*\s")
_LAST_WORD = re.compile(r"(?<![^\W_])[^\W\d_]+\Z")


def boilerplate(text: str) -> str | None:
    """The words with which a model calls itself one, or None. Quotations in code are ignored."""
    return outside_code(_BOILERPLATE, text) if "odel" in text else None


def foreign_identity(text: str) -> str | None:
    """The words that claim to be another maker's model, or None. Quotations in code are ignored."""
    return outside_code(_IDENTITY, text)


def refusal(text: str) -> str | None:
    """The words of refusal that the text begins with, or None. Asking for missing information is not a refusal."""
    found = _REFUSAL.match(text)
    return found.group() if found and not _ASKS_BACK.search(text) else None


def unfinished_end(text: str) -> str | None:
    """The last word or mark of a text if no sentence ends with it, or None.

    Words are case-sensitive, because answers do end in "option A" or "LA". A word that rarely ends a sentence counts
    only if earlier sentences have full stops: then the last one is missing more than its full stop.
    """
    if text[-1:] in ",:，、：" and text[-2:-1].isalpha():
        return text[-1:]
    found = _LAST_WORD.search(text[-12:]) if text[-1:].isalpha() else None
    if found is None or found.group() not in _ENDS_NO_SENTENCE:
        return None
    if found.group() in _RARELY_ENDS and _SENTENCE_END.search(text) is None:
        return None
    return found.group()
