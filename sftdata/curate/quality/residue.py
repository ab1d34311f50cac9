"""What conversion leaves behind in answers: control tokens, template headers, blanks, mojibake, open code blocks."""

from __future__ import annotations

import re

import ftfy
from ftfy.badness import is_bad

# Control tokens as the chat templates of Llama, Qwen, Mistral, Gemma, DeepSeek, Phi and Zephyr write them. Those that
# end an answer are in records/end_tokens.py.
_CONTROL = re.compile(
    r"<\|[A-Za-z][A-Za-z0-9_]{1,30}\|>|<｜[^\s<>｜]{2,40}｜>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
    r"|\A\s*<s>"
)
# Headers of instruction templates at the start of a line: Alpaca's, and a speaker's name at the start of the answer.
_NAMED_START = re.compile(r"\s*(?:ASSISTANT|Assistant|Response):")
_HEADER = re.compile(rf"^### ?(?:Instruction|Response|Human|Assistant|User)s?:|\A{_NAMED_START.pattern}", re.MULTILINE)
_MARKS = ("<|", "<｜", "INST]", "SYS>>", "_of_turn>", "<s>", "###")  # without one of these, nothing is found
_PROMPT_TAIL = re.compile(
    r"(?:### ?(?:Response|Assistant|Output):|\bASSISTANT:|\[/INST\]|<\|im_start\|>assistant)\s*\Z"
)
_BRACES = re.compile(r"\{\{ ?[\w.]{1,40} ?\}\}")
_BRACKETS = re.compile(
    r"\[(?:insert|enter|add|your|recipient|sender|company|client|customer)(?:'s)?\b[^\]\[\n]{0,60}\](?!\()"
    r"|<(?:insert|your)[ _][^<>\n]{1,40}>",
    re.IGNORECASE,
)
_ASKS_FOR_BLANKS = re.compile(r"\b(?:templates?|placeholders?|fill[- ]in)\b", re.IGNORECASE)
_CODE_BLOCK = re.compile(r"^[ \t]*(```+|~~~+).*?(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"`[^`\n]*`")
_QUOTE = re.compile(r"[\"'`]")
_FENCE = re.compile(r"^[ \t]*(`{3,}(?!.*`)|~{3,})[ \t]*(\S*)", re.MULTILINE)
_CODE_LINE = re.compile(
    r"[;{}]\s*$|^\s*(?:#include|import |from \w+ import|def |class |function |public |private |const |let |var "
    r"|return\b"
    r"|(?:for|while|if)\b.*[:({]\s*$|end\b|</?[a-z][\w-]*[ >]|SELECT |INSERT |\{%|\w[\w.]* ?(?:=|<-|:=) ?\S)",
    re.MULTILINE,
)


def template_residue(text: str) -> str | None:
    """A control token or header of a chat template outside code, or None."""
    if not any(mark in text for mark in _MARKS) and _NAMED_START.match(text) is None:
        return None
    if _CONTROL.search(text) is None and _HEADER.search(text) is None:
        return None
    prose = without_code(text)
    found = _CONTROL.search(prose) or _HEADER.search(prose)
    return found.group().strip() if found else None


def prompt_residue(text: str) -> str | None:
    """The template header at the end of a prompt that a template was already applied to, or None."""
    tail = text[-40:].rstrip()
    found = _PROMPT_TAIL.search(tail) if tail.endswith((":", "]", "assistant")) else None
    return found.group().strip() if found else None


def unfilled_placeholder(text: str, brackets: bool, prompt: str | None = None) -> str | None:
    """An unfilled blank such as {{name}}, or None; with `brackets`, [Your Name] counts too.

    Code is ignored, because double braces are part of Jinja, Vue or Go. So are answers to prompts that ask for a
    template, and blanks in brackets that are in the prompt too: the answer had to keep them.
    """
    found = _BRACES.search(text) if "{{" in text else None
    if found is None and brackets and ("[" in text or "<" in text):
        found = _BRACKETS.search(text)
    if found is None or looks_like_code(text) or (prompt is not None and _ASKS_FOR_BLANKS.search(prompt)):
        return None
    prose = without_code(text)
    if found := _BRACES.search(prose):
        return found.group()
    blanks = (found.group() for found in _BRACKETS.finditer(prose)) if brackets else iter(())
    return next((blank for blank in blanks if prompt is None or blank not in prompt), None)


def mojibake(text: str) -> tuple[str, str | None] | None:
    """A piece of wrongly decoded text and the correct text, or None.

    The correct text is None if characters were lost (U+FFFD). A piece counts only if ftfy both finds it unlikely and
    can fix it, so languages with many accents are not affected.
    """
    if text.isascii():
        return None
    if "\ufffd" in text:
        return "\ufffd", None
    if not is_bad(text):
        return None
    for line in text.splitlines():
        if is_bad(line) and (fixed := ftfy.fix_encoding(line)) != line:
            return _first_difference(line, fixed)
    return None


def _first_difference(line: str, fixed: str) -> tuple[str, str]:
    """The first word that differs between the line and the fixed line."""
    for wrong, right in zip(line.split(" "), fixed.split(" ")):
        if wrong != right:
            return wrong, right
    return line, fixed


def open_code_fence(text: str) -> int | None:
    """The line (from 1) of a code block that is opened and never closed, or None.

    Follows CommonMark, except that any indentation is allowed, because code blocks occur in lists.
    """
    if "```" not in text and "~~~" not in text:
        return None
    fence, opened_at = "", 0
    for found in _FENCE.finditer(text):
        marks, info = found.group(1), found.group(2)
        if not fence:
            fence, opened_at = marks, found.start()
        elif not info and marks[0] == fence[0] and len(marks) >= len(fence):
            fence = ""
    return text.count("\n", 0, opened_at) + 1 if fence else None


def without_code(text: str) -> str:
    """The text without its code blocks and code spans."""
    if "`" not in text and "~~~" not in text:
        return text
    return _CODE_SPAN.sub(" ", _CODE_BLOCK.sub(" ", text))


def looks_like_code(text: str) -> bool:
    """Whether at least a third of the lines outside code blocks look like code."""
    lines = [line for line in without_code(text).splitlines() if line.strip()]
    num_code = sum(1 for line in lines if _CODE_LINE.search(line))
    return num_code * 3 >= len(lines) and num_code > 0


def outside_code(pattern: re.Pattern[str], text: str) -> str | None:
    """The first match within one line that is neither in a code block nor in a string in a line of code; or None."""
    if pattern.search(text) is None:
        return None
    for line in without_code(text).splitlines():
        found = pattern.search(line)
        if found and not (_QUOTE.search(line, 0, found.start()) and _CODE_LINE.search(line)):
            return found.group()
    return None
