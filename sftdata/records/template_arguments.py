"""The names of arguments of chat templates: those that a row or a setting may give, and those that are taken."""

from __future__ import annotations

# What a conversation is rendered with already.
OF_CONVERSATION = ("messages", "documents", "add_generation_prompt")
# What the language of templates gives them itself; with the tokens of the tokenizer, whose names end in _token.
_FUNCTIONS = ("range", "dict", "lipsum", "cycler", "joiner", "namespace", "raise_exception", "strftime_now")
_WORDS = ("self", "loop", "caller", "varargs", "kwargs", "true", "false", "none", "True", "False", "None")
_LANGUAGE = {*_FUNCTIONS, *_WORDS, "additional_special_tokens"}


def decided_by(name: str) -> str | None:
    """What decides the value of this name in a template, if nothing else may: the tokenizer, or the language."""
    if name not in _LANGUAGE and not name.endswith("_token"):
        return None
    return "the tokenizer" if name.endswith(("_token", "_tokens")) else "the language of templates"


def flaw_of_arguments(arguments: object) -> str | None:
    """Why a setting cannot be the arguments of templates; None if it can. What rows decide is refused too."""
    if not isinstance(arguments, dict):
        return "is not a mapping, as in {enable_thinking: false}"
    for name, value in arguments.items():
        if not isinstance(name, str) or not name.isidentifier():
            return f"has {name!r}, which is no name of an argument"
        decided = "each row" if name in (*OF_CONVERSATION, "tools") else decided_by(name)
        if decided is not None:
            return f"has {name}, which {decided} decides; a setting cannot replace it"
        flaw = _flaw_of_value(value)
        if flaw is not None:
            return f"has {name}, {flaw}"
    return None


def _flaw_of_value(value: object, depth: int = 0) -> str | None:
    """Why a value cannot be given to a template; None if it can: text, numbers, true, false, lists and mappings."""
    if value is None:
        return "which holds null; leave it out"
    if isinstance(value, (str, bool, int)):
        return None
    if isinstance(value, float):
        return None if value - value == 0 else "which holds a number that is not finite"
    if depth > 50:
        return "which is nested too deeply"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return next((flaw for item in value.values() if (flaw := _flaw_of_value(item, depth + 1))), None)
    if isinstance(value, list):
        return next((flaw for item in value if (flaw := _flaw_of_value(item, depth + 1))), None)
    return f"which holds a {type(value).__name__}; put quotes around it, so that it is text"
