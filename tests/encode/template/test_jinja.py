"""Templates give the same text as with transformers, character for character."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

from datetime import date as Date
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from jinja2.sandbox import ImmutableSandboxedEnvironment
from oracle import Oracle

from sftdata.encode.template.jinja import ChatTemplate, RenderError, make_environment

CHAT = [
    {"role": "system", "content": "  Be <b>brief</b> & 'kind'. é"},
    {"role": "user", "content": "q\n\n"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": "<é>", "b": [1, None, 1.0, True]}}}
    ]},
    {"role": "tool", "content": "{}", "name": "f"},
    {"role": "assistant", "content": "done", "reasoning_content": "hm"},
]  # fmt: skip
TOOLS = [
    {
        "type": "function",
        "function": {"name": "f", "description": "<d> 'x' \u2028", "parameters": {"type": "object", "properties": {}}},
    }
]
SOURCES = {
    "blocks are trimmed": "{% for m in messages %}\n  {% if m.content %}\n  {{ m.content }}\n  {% endif %}\n{% endfor %}\nend\n",
    "json escapes no HTML": "{{ tools | tojson }}|{{ messages | tojson(indent=2) }}",
    "json options": "{{ tools | tojson(ensure_ascii=true, separators=(',', ':'), sort_keys=true) }}",
    "loop controls": "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% endfor %}",
    "generation markers": "a{% generation %}{{ messages[0].content }}{% endgeneration %}b\n{%- generation -%}\n x {%- endgeneration %}",
    "a variable set in a generation block": "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}",
    "underscore at a namespace's making": "{% set ns = namespace(_a=1) %}{{ 1 }}",
    "today": "{{ strftime_now('%d %b %Y, %A %H:%M') }}",
    "namespace": "{% set ns = namespace(a=1, self=2) %}{% set ns.a = ns.a + 1 %}{{ ns.a }}",
    "underscore in a namespace": "{% set ns = namespace() %}{% set ns._a = 1 %}",
    "raise": "{{ raise_exception('no such role') }}",
    "undefined": "[{{ nothing }}]{{ nothing.more }}",
    "undefined in a sum": "{{ 'a' + messages[2].content }}",
    "null content is absent": "{{ messages[2].content is defined }} {{ messages[2].content is none }} {{ 'content' in messages[2] }}",
    "special tokens": "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
    "documents": "{{ documents is none }} {{ documents is defined }} {{ tools is none }}",
    "the prompt flag": "{{ add_generation_prompt }}",
    "template arguments": "{{ enable_thinking is defined and enable_thinking is false }}",
    "reasoning under two names": "{{ messages[4].reasoning_content }}{{ messages[4].thinking }}",
    "python inside": "{{ ''.__class__.__mro__ }}",
    "a changed list": "{{ messages.append(1) }}",
    "dict": "{% set d = dict(a=1) %}{{ d.a }}{{ dict is defined }}",
    "cycler and joiner": "{% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.next() }}{% set j = joiner(',') %}{{ j() }}{{ j() }}",
    "division by zero": "{{ 1 / 0 }}",
    "an index that is not there": "{{ messages[99] }}|{{ messages[99].content }}",
    "filters": "{{ messages[0].content | trim | upper }}{{ messages | length }}{{ messages | map(attribute='role') | join(',') }}",
    "python strings": "{{ messages[0].content.strip().split(' ')[0] }}{{ '%s-%d' | format('a', 3) }}{{ 'x' * 3 }}",
    "autoescape is off": "{{ '<' ~ messages[0].content }}{{ messages[0].content | e }}",
    "line endings": "a\r\nb\r\n{{ messages[1].content }}",
    "macros": "{% macro m(x, y='d') %}<{{ x }}{{ y }}>{% endmacro %}{{ m('a') }}{{ m('a', y='b') }}",
    "slices and tests": "{{ messages[1:] | length }}{{ messages[::-1][0].role }}{{ 3 is odd }}{{ 'a' in 'abc' }}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tokenizers.build("byte_level", tmp_path_factory.mktemp("environment"))


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["no tools", "tools"])
def test_rendering_equals_transformers(folder: Path, name: str, prompt: bool, tools: Any) -> None:
    source = SOURCES[name]
    oracle = Oracle(folder, None, "x", date="2024-02-29")
    oracle.template = source
    kwargs = {"enable_thinking": False}
    template = ChatTemplate(
        source, name=name, special_tokens={"bos_token": "<s>", "eos_token": "</s>"}, today=Date(2024, 2, 29)
    )
    # transformers adds `thinking` by itself; here template/messages.py does.
    chat = [{"thinking": "hm", **message} if "reasoning_content" in message else dict(message) for message in CHAT]
    try:
        expected: str | None = oracle.render(chat, tools, kwargs, prompt=prompt)
    except ValueError:
        expected = None
    try:
        got: str | None = template.render(chat, tools=tools, add_generation_prompt=prompt, kwargs=kwargs)
    except RenderError:
        got = None
    assert got == expected


@pytest.mark.parametrize("value", [{}, [], set(), "text", 1, len, CHAT.append, ChatTemplate, iter(()), (x for x in ())])
def test_the_sandbox_answers_as_jinjas_own_and_the_same_again(value: Any) -> None:
    own, ours = ImmutableSandboxedEnvironment(), make_environment(Date(2026, 1, 1))
    assert isinstance(ours, ImmutableSandboxedEnvironment)
    names = [*dir(value), "mro", "gi_frame", "append", "update", "upper", "_private", "func_code"]
    for name in [*names, *names]:
        found = getattr(value, name, None)
        assert ours.is_safe_attribute(value, name, found) == own.is_safe_attribute(value, name, found)
