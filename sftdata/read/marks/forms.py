"""The forms in which tool calls are written into texts: Hermes, Glaive, Mistral, LFM2, Llama, Granite, Phi-4, ...

A form finds its calls in a text. A call that its marks enclose but that cannot be read is a `bad_tool_call`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sftdata.read.formats.values import ConversionError, parse_python
from sftdata.read.marks.call_values import JSON, Properties, call_of, json_calls, typed
from sftdata.read.marks.gemma import gemma_calls
from sftdata.read.marks.invoke import invoked_calls
from sftdata.read.marks.looks import is_quoted
from sftdata.read.marks.python_calls import python_calls
from sftdata.records.record import ToolCall

ENDS = re.compile(
    r"(\s*(<\|endoftext\|>|</s>|<\|im_end\|>|<\|eot_id\|>|<\|eom_id\|>|<\|end\|>|<\|end_of_text\|>|<end_of_turn>|<eos>"
    r"|<｜end▁of▁sentence｜>|\[/TOOL_CALLS\]))+\s*$"
)
_CLOSES = re.compile(
    r"</(?:tool_calls?|function_?call|function)>|<\|tool_calls?(?:_section)?_end\|>|<\|/tool_call\|>|<｜tool▁calls▁end｜>"
)


class Written(NamedTuple):
    """Calls found in a text: the text around them, the name of their form, and whether text is behind a call.

    Calls are written behind all text, so text behind a call would change its place.
    """

    text: str
    calls: tuple[ToolCall, ...]
    form: str
    has_text_behind: bool = False


class _Block(NamedTuple):
    """Where a call is written in a text."""

    start: int
    end: int
    calls: tuple[ToolCall, ...]


def marked_calls(text: str, properties: Properties) -> Written | None:
    """The calls that are written between known marks, or None. Raises ConversionError: bad_tool_call.

    What cannot be read is no bad call where text follows the last mark: it explains the form, as `{...}` does.
    """
    for form, mark, find in _FORMS:
        if mark not in text:
            continue
        try:
            blocks = list(find(text, properties))
        except ConversionError:
            closes = [match.end() for match in _CLOSES.finditer(text)]
            rest = text[closes[-1] :] if closes else ""
            if mark not in rest and ENDS.sub("", rest).strip():
                return None
            raise
        if blocks:
            parts = _parts_around(text, blocks)
            around = "\n\n".join(part for part in parts if part)
            return Written(around, tuple(call for block in blocks for call in block.calls), form, any(parts[1:]))
    return None


def _parts_around(text: str, blocks: list[_Block]) -> list[str]:
    """The text before, between and behind blocks, each without white space and without end tokens after a call."""
    starts = [0, *(block.end for block in blocks)]
    ends = [*(block.start for block in blocks), len(text)]
    parts = [text[start:end] for start, end in zip(starts, ends)]
    return [parts[0].strip(), *(ENDS.sub("", part).strip() for part in parts[1:])]


def _bad(form: str, body: str) -> ConversionError:
    return ConversionError(
        "bad_tool_call",
        f"its text has a call of the form {form} that cannot be read ({' '.join(body.split())[:60]!r}); "
        "tool_calls_in_text: keep trains it as text",
    )


def _whole(body: str, properties: Properties) -> tuple[ToolCall, ...] | None:
    """The calls that a body is and nothing else, in any notation."""
    found = json_calls(body)
    if found is not None and not body[found[1] :].strip():
        return found[0]
    return _xml_calls(body, properties) or _glm_call(body, properties) or _quoted_arguments(body.strip()) or None


_XML = re.compile(r"<function=([^>\s]+)>(.*?)(?:</function>|$)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>", re.DOTALL)


def _xml_calls(body: str, properties: Properties) -> tuple[ToolCall, ...] | None:
    """Calls as Llama, <function=f>{...}</function>, and Qwen3-Coder, with a <parameter=x> each, write them."""
    calls = []
    for name, inner in _XML.findall(body):
        call = _xml_call(name, inner, properties)
        if call is None:
            return None
        calls.append(call)
    return tuple(calls) if calls and not _XML.sub("", body).strip() else None


def _xml_call(name: str, inner: str, properties: Properties) -> ToolCall | None:
    if "<parameter=" not in inner:
        try:
            arguments = JSON.decode(inner) if inner.strip() else {}
        except (ValueError, RecursionError):
            arguments = parse_python(inner)
        return ToolCall(name=name, arguments=arguments) if isinstance(arguments, dict) else None
    if _PARAMETER.sub("", inner).strip():
        return None
    arguments = _arguments(_PARAMETER.findall(inner), properties(name))
    return None if arguments is None else ToolCall(name=name, arguments=arguments)


def _arguments(pairs: Sequence[tuple[str, str]], known: Mapping[str, Any]) -> dict[str, Any] | None:
    """Arguments by their names, with the types that the tool declares; None if one is given twice."""
    names = [key.strip() for key, _ in pairs]
    if len(set(names)) < len(names):
        return None
    return {name: typed(text, known.get(name)) for name, (_, text) in zip(names, pairs)}


_GLM = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)


def _glm_call(body: str, properties: Properties) -> tuple[ToolCall, ...] | None:
    """A call as GLM-4.5 writes it: the name, and an <arg_key> and an <arg_value> for each argument."""
    pairs = _GLM.findall(body)
    name = _GLM.sub("", body).strip()
    if not pairs or not re.fullmatch(r"[\w.:-]+", name):
        return None
    arguments = _arguments(pairs, properties(name))
    return None if arguments is None else (ToolCall(name=name, arguments=arguments),)


_GLAIVE = re.compile(r"""\{\s*"name"\s*:\s*"([^"\\]+)"\s*,\s*"arguments"\s*:\s*'(.*?)'\s*\}""", re.DOTALL)


def _quoted_arguments(body: str) -> tuple[ToolCall, ...] | None:
    """A call as Glaive writes it: its arguments are JSON in single quotes."""
    found = _GLAIVE.fullmatch(body)
    if found is None:
        return None
    call = call_of({"name": found.group(1), "arguments": found.group(2).replace("\\'", "'")})
    return None if call is None else (call,)


def _in_tags(name: str, pattern: str) -> Callable[[str, Properties], Iterator[_Block]]:
    """What finds calls between an opening and a closing mark."""
    regex = re.compile(pattern, re.DOTALL)

    def find(text: str, properties: Properties) -> Iterator[_Block]:
        for match in regex.finditer(text):
            body = match.group(1)
            if is_quoted(text, match.start()):
                continue
            calls, end = _whole(ENDS.sub("", body), properties), match.end()
            if calls is None and match.end() == match.end(1):  # never closed, so text may follow
                found = json_calls(body)
                if found is not None:
                    calls, end = found[0], match.start(1) + found[1]
            if calls:
                yield _Block(match.start(), end, calls)
            elif body.lstrip().startswith(("{", "[", "<function=")):
                raise _bad(name, body)

    return find


_TOOL_CALL = _in_tags("<tool_call>", r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|$)")


def _tool_calls(text: str, properties: Properties) -> Iterator[_Block]:
    """A list of calls in JSON, or calls with a <tool_call> each, between <tool_calls> and </tool_calls>."""
    for match in re.finditer(r"<tool_calls>(.*?)(?:</tool_calls>|$)", text, re.DOTALL):
        if is_quoted(text, match.start()):
            continue
        body = ENDS.sub("", match.group(1))
        if body.lstrip().startswith("<tool_call>"):
            blocks = list(_TOOL_CALL(body, properties))
            is_whole = not any(_parts_around(body, blocks))
            calls = tuple(call for block in blocks for call in block.calls) if is_whole else None
        else:
            calls = _whole(body, properties)
        if calls:
            yield _Block(match.start(), match.end(), calls)
        elif body.lstrip().startswith(("{", "[")):
            raise _bad("<tool_calls>", body)


def _function_tag(text: str, properties: Properties) -> Iterator[_Block]:
    for match in _XML.finditer(text):
        if not is_quoted(text, match.start()):
            call = _xml_call(match.group(1), match.group(2), properties)
            if call is None:
                raise _bad("<function=...>", match.group(0))
            yield _Block(match.start(), match.end(), (call,))


_MISTRAL = re.compile(r"\s*([\w.-]+)(?:\[CALL_ID\]([\w-]+))?\s*\[ARGS\]\s*(?=\{)|\s*([\w.-]+)(?=\{)")


def _mistral(text: str, properties: Properties) -> Iterator[_Block]:
    for match in re.finditer(r"\[TOOL_CALLS?\]", text):
        if is_quoted(text, match.start()):
            continue
        rest = text[match.end() :]
        found = json_calls(rest)
        named = _MISTRAL.match(rest)
        if found is None and named is not None:
            try:
                arguments, end = JSON.raw_decode(rest, named.end())
            except (ValueError, RecursionError):
                raise _bad("[TOOL_CALLS]", rest) from None
            found = (ToolCall(name=named.group(1) or named.group(3), arguments=arguments, id=named.group(2)),), end
        if found is not None:
            yield _Block(match.start(), match.end() + found[1], found[0])
        elif rest.lstrip().startswith(("[", "{")):
            raise _bad("[TOOL_CALLS]", rest)


def _python_tags(text: str, properties: Properties) -> Iterator[_Block]:
    """LFM2: a list of Python calls, or JSON, between <|tool_call_start|> and <|tool_call_end|>."""
    for match in re.finditer(r"<\|tool_call_start\|>(.*?)(?:<\|tool_call_end\|>|$)", text, re.DOTALL):
        if not is_quoted(text, match.start()):
            calls = python_calls(match.group(1)) or _whole(match.group(1), properties)
            if calls is None:
                raise _bad("<|tool_call_start|>", match.group(1))
            yield _Block(match.start(), match.end(), calls)


_BUILT_IN = re.compile(r"<\|python_tag\|>\s*([A-Za-z_]\w*)\.call(\(.*\))\s*$", re.DOTALL)


def _built_in(text: str, properties: Properties) -> Iterator[_Block]:
    """A call of a built-in tool as Llama writes it: <|python_tag|>brave_search.call(query="...")."""
    match = _BUILT_IN.search(ENDS.sub("", text))
    calls = None if match is None or is_quoted(text, match.start()) else python_calls("".join(match.groups()))
    if match is not None and calls is not None and len(calls) == 1:
        yield _Block(match.start(), len(text), calls)


def _invoked(text: str, properties: Properties) -> Iterator[_Block]:
    """Calls as Claude, MiniMax and DeepSeek V3.2 write them; nothing if one of them cannot be read."""
    blocks = [_Block(*one) for one in invoked_calls(text, properties) if not is_quoted(text, one.start)]
    if all(block.calls for block in blocks):
        yield from blocks


def _gemma(text: str, properties: Properties) -> Iterator[_Block]:
    """Calls as FunctionGemma and Gemma 4 write them."""
    for found in gemma_calls(text):
        if not is_quoted(text, found.start):
            if found.call is None:
                raise _bad("call:...{...}", text[found.start :])
            yield _Block(found.start, found.end, (found.call,))


_TOOLS = re.compile(r"<tools>\s*([\[{].*?[\]}])\s*</tools>", re.DOTALL)


def _tools_tag(text: str, properties: Properties) -> Iterator[_Block]:
    """Calls between the marks in which Hermes gets its tools, as its models write by mistake; tools are no calls."""
    for match in _TOOLS.finditer(text):
        calls = _whole(match.group(1), properties) if '"arguments"' in match.group(1) else None
        if calls and not is_quoted(text, match.start()):
            yield _Block(match.start(), match.end(), calls)


_DEEPSEEK = re.compile(
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>([^\n]+)\n```json\n(.*?)\n```|([^<]+)<｜tool▁sep｜>(.*?))<｜tool▁call▁end｜>",
    re.DOTALL,
)
_KIMI = re.compile(
    r"<\|tool_call_begin\|>\s*(?:functions\.)?([\w.-]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>",
    re.DOTALL,
)
_SECTIONS = {
    "DeepSeek": (_DEEPSEEK, re.compile(r"<｜tool▁calls▁begin｜>(.*?)<｜tool▁calls▁end｜>", re.DOTALL)),
    "Kimi": (_KIMI, re.compile(r"<\|tool_calls_section_begin\|>(.*?)<\|tool_calls_section_end\|>", re.DOTALL)),
}


def _sections(name: str) -> Callable[[str, Properties], Iterator[_Block]]:
    """What finds the calls in the section that DeepSeek and Kimi write for them."""
    one, section = _SECTIONS[name]

    def find(text: str, properties: Properties) -> Iterator[_Block]:
        for match in section.finditer(text):
            found = [[group for group in call.groups() if group] for call in one.finditer(match.group(1))]
            calls = [call_of({"name": group[0].strip(), "arguments": group[-1].strip()}) for group in found]
            if not calls or None in calls:
                raise _bad(name, match.group(0))
            yield _Block(match.start(), match.end(), tuple(call for call in calls if call is not None))

    return find


_FORMS: tuple[tuple[str, str, Callable[[str, Properties], Iterator[_Block]]], ...] = (
    ("<tool_calls>", "<tool_calls>", _tool_calls),  # before the marks that may be in it
    ("<tool_call>", "<tool_call>", _TOOL_CALL),
    (
        "<|tool_call|>",
        "<|tool_call|>",
        _in_tags("<|tool_call|>", r"<\|tool_call\|>(.*?)(?:<\|/tool_call\|>|(?=<\|tool_call\|>)|$)"),
    ),
    (
        "<function_call>",
        "<function_call>",
        _in_tags("<function_call>", r"<function_call>(.*?)(?:</function_call>|(?=<function_call>)|$)"),
    ),
    (
        "<functioncall>",
        "<functioncall>",
        _in_tags("<functioncall>", r"<functioncall>(.*?)(?:</functioncall>|(?=<functioncall>)|$)"),
    ),
    ("[TOOL_CALLS]", "[TOOL_CALL", _mistral),
    ("<|tool_call_start|>", "<|tool_call_start|>", _python_tags),
    ("<function=...>", "<function=", _function_tag),
    ("<|python_tag|>", "<|python_tag|>", _in_tags("<|python_tag|>", r"<\|python_tag\|>(?=\s*\{)(.*)$")),
    ("<|python_tag|>", "<|python_tag|>", _built_in),
    ("<invoke>", "invoke name=", _invoked),
    ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁begin｜>", _sections("DeepSeek")),
    ("<|tool_calls_section_begin|>", "<|tool_calls_section_begin|>", _sections("Kimi")),
    ("<start_function_call>", "<start_function_call>", _gemma),
    ("<|tool_call>", "<|tool_call>call:", _gemma),
    ("<tools>", "<tools>", _tools_tag),
)
