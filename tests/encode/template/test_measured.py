"""What operations of templates cost: it grows with what they are given, for every filter, test, method and operator."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

from datetime import date as Date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.encode.template import jinja
from sftdata.encode.template.jinja import ChatTemplate, RenderError, TooMuch, make_environment
from sftdata.encode.template.limits.budget import FULL, LIGHT, Budget, LimitError, Limits
from sftdata.encode.template.limits.measured import Meter
from sftdata.encode.template.load import template_names, template_source
from sftdata.errors import TemplateError

SMALL = Limits(steps=4_000, chars=1 << 20, items=1 << 14, bits=10_000)  # so that every bomb is quick
VALUES = {
    "text": "{% set s = 'ab <c, ' * 100000 %}",
    "items": "{% set s = [1, 2] * 8000 %}",
    "texts": "{% set s = ['ab', 'cd'] * 4000 %}",
    "lists": "{% set s = [[1]] * 7000 %}",
    "objects": "{% set s = [{'a': 1}] * 7000 %}",
    "object": "{% set s = {}.fromkeys(range(8000), 'abc') %}",
}
# These look at no more than a part of their value, however large it is.
AT_ONCE = {"attr", "count", "d", "default", "first", "last", "length"}
ARGUMENTS = {"batch": "(3)|list", "slice": "(3)|list", "replace": "('a', 'b')", "map": "('string')|list", "groupby": "('a')|list", "attr": "('a')",
             "sum": "(start=[])", "selectattr": "('a')|list", "rejectattr": "('a')|list", "select": "|list", "reject": "|list", "unique": "|list",
             "reverse": "|list", "items": "|list", "wordwrap": "(1)"}  # fmt: skip
METHODS = {
    "text": ["split()", "rsplit('a')", "splitlines()", "replace('a', 'b')", "partition('z')", "count('b')", "find('z')", "upper()", "title()", "encode()",
             "encode('utf-16')", "encode('punycode')", "translate({97: 'b'})", "casefold()", "strip()", "isalpha()", "expandtabs()", "format(1)",
             "join('ab')", "zfill(9)", "ljust(9)", "removeprefix('a')", "isidentifier()", "partition('z')"],
    "items": ["count(3)", "copy()"],
    "object": ["copy()", "fromkeys('ab' * 5000)"],
}  # fmt: skip
EXPRESSIONS = {
    "text": ["s == s ~ 'a'", "'z' in s", "s ~ 'a'", "s + 'a'", "s[1:]", "s is eq s", "s is in s", "s is upper", "s * 1", "'%s' % s", "'{}'.format(s)", "[s]|string",
             "strftime_now(s)", "namespace(a=[s]).a|string", "dict(a=[s])|string", "loop.changed([s])"],
    "items": ["s + s[1:]", "s == s[:] + []", "3 in s", "[3] in s", "s[::-1]", "s < s", "s is eq s", "s|string", "s ~ ''", "s is in [s]", "(s, 1) == (s, 2)",
              "range(9000)|list", "range(9000)|sum", "1.5 in range(9000)", "range(9000).count(1.5)"],
    "object": ["s == dict(s)", "s ~ ''", "s.values()|join", "s.items()|string", "s|tojson(indent=2)", "s|tojson(separators=(',', ':'))"],
}  # fmt: skip
LOOPS = [
    *((kind, f"s|{name}{ARGUMENTS.get(name, '')}") for kind in VALUES for name in sorted(make_environment(Date.min).filters) if name[0] != "_"),
    *((kind, f"s.{call}") for kind, calls in METHODS.items() for call in calls),
    *((kind, expression) for kind, expressions in EXPRESSIONS.items() for expression in expressions),
]  # fmt: skip
MEMORY = {
    "texts in names": "{% set s = 'ab' * 500000 %}" + "".join(f"{{% set a{i} = s ~ {i} %}}" for i in range(999)),
    "lists in names": "{% set s = [1, 2] * 8000 %}" + "".join(f"{{% set a{i} = s + [{i}] %}}" for i in range(999)),
    "texts of calls in calls": "{% set s = 'ab' * 500000 %}{% macro m(n) %}{% set y = s ~ n %}{{ m(n + 1) }}{% endmacro %}{{ m(1) }}",
    "a text many times in a list": "{% set s = 'ab' * 500000 %}{{ [" + "s," * 999 + "] }}",
    "what is written": "{% set s = 'ab' * 500000 %}" + "{{ s }}" * 999,
}
CHAINS = {
    "tojson": "{{ messages[0].role ~ '\"' | " + "|".join(["tojson"] * 60) + " }}",
    "tojson of a constant": "{{ '\"' | " + "|".join(["tojson"] * 60) + " }}",
    "tojson in a loop": "{% set n = namespace(s='\"') %}{% for i in range(99) %}{% set n.s = n.s|tojson %}{% endfor %}",
    "text of lists in a loop": "{% set n = namespace(s='\"') %}{% for i in range(99) %}{% set n.s = [n.s]|string %}{% endfor %}",
    "blocks in blocks": "".join(
        f"{{% block a{i} %}}{{{{ self.a{i + 1}() }}}}{{{{ self.a{i + 1}() }}}}{{% endblock %}}" for i in range(40)
    )
    + "{% block a40 %}x{% endblock %}",
    "names of attributes": "{% set n = namespace() %}{% set n.a = n %}{{ ([n] * 9000)|map(attribute='a.' * 9000 ~ 'a')|list|length }}",
    "names in a format": "{% set n = namespace() %}{% set n.a = n %}{{ ('{0' ~ '.a' * 400000 ~ '}').format(n) }}",
}


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, name="theirs", special_tokens={}, today=Date(2026, 1, 1))


def render(source: str) -> str:
    return template(source).render([{"role": "user", "content": "hi"}])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jinja, "FULL", SMALL)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("kind", "expression"), LOOPS)
def test_what_takes_long_for_a_large_value_takes_steps_in_a_loop(kind: str, expression: str) -> None:
    source = VALUES[kind] + f"{{% for i in range(2000) %}}{{% if ({expression}) is none %}}{{% endif %}}{{% endfor %}}"
    name = expression.removeprefix("s|").split("(")[0].split("|")[0]
    if expression.startswith("s|") and name in AT_ONCE:
        assert render(source) == ""
    else:
        with pytest.raises(RenderError) as caught:
            render(source)
        # Many filters do not take every kind of value.
        assert isinstance(caught.value, TooMuch) or "which is the limit" not in str(caught.value)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "expression", ["s|sum", "s|sort|first", "s|string|length", "s|tojson|length", "(s ~ '')|length", "s|join|length"]
)
@pytest.mark.parametrize("form", ["one expression", "many statements"])
def test_without_a_loop_it_takes_steps_too(expression: str, form: str) -> None:
    parts = [expression] * 100
    text = (
        "{{ " + " ~ ".join(parts) + " }}"
        if form == "one expression"
        else "".join(f"{{{{ {each} }}}}" for each in parts)
    )
    with pytest.raises(TooMuch, match="which is the limit"):
        render(VALUES["items"] + text)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", [*MEMORY, *CHAINS])
def test_what_would_fill_the_memory_ends(name: str) -> None:
    with pytest.raises(TooMuch, match="which is the limit"):
        render({**MEMORY, **CHAINS}[name])


@pytest.mark.parametrize(
    ("expression", "steps"),
    [
        ("s|sum", 6250),  # 100,000 items, 16 a step
        ("s|length", 0),
        ("t|upper", 3906 // 2 + 3906 // 2),  # 2,000,000 characters, 1,024 a step: what it is given and what it gives
        ("t|wordcount", 125_000),  # slow: 16 characters a step
        ("t == t", 3906),
        ("t ~ ''", 3906),
        ("'zz' in t", 1953),
        ("s[1:]", 781),  # 128 items a step, since a slice has no new ones
    ],
)
def test_an_operation_takes_steps_by_what_it_is_given(expression: str, steps: int) -> None:
    environment = make_environment(Date.min, FULL)
    code = environment.from_string(f"{{% if ({expression}) is none %}}{{% endif %}}")
    environment.budget.start(None)
    code.render(s=[1] * 100_000, t="a b " * 500_000)
    assert FULL.steps - environment.budget.left == steps


def test_nothing_is_computed_that_is_too_large() -> None:
    meter = Meter(Budget(SMALL))
    for sign, left, right in (("*", "a", 1 << 40), ("*", [1], 1 << 40), ("**", 9, 1 << 40), ("%", "%*d", (1 << 40, 1))):
        with pytest.raises(LimitError, match="which is the limit"):
            meter.calculate(sign, left, right)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x" * 200_000, "has 200,000 characters; a template may have 131,072"),
        ("{{ 0x" + "f" * 30_000 + " }}", "it has a constant of more than"),
    ],
)
def test_a_template_that_is_too_large_is_a_sentence(source: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        template(source)


def test_a_long_conversation_is_measured_in_full_and_written() -> None:
    chatml = template("{% for m in messages %}{{ m.role ~ ': ' ~ m.content | trim ~ '\\n' }}{% endfor %}")
    messages = [{"role": "user", "content": "a" * 100_000}] * 50
    assert chatml.render(messages) == ("user: " + "a" * 100_000 + "\n") * 50


TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": st.text("ab <>'\"\\{}\n\u00e9", max_size=20)},
        optional={"tool_calls": st.just([{"id": "callaaaa1", "type": "function", "function": {"name": "f", "arguments": {"x": [1, "y"]}}}])},
    ),
    max_size=5,
)  # fmt: skip


def outcome(a_template: ChatTemplate, messages: Any, tools: Any) -> str:
    try:
        return a_template.render(messages, tools=tools)
    except RenderError as error:
        return f"refused: {error}"


@pytest.mark.parametrize("name", template_names())
def test_both_ways_to_render_write_the_same(name: str) -> None:
    light, full = template(template_source(name)), template(template_source(name))
    full._light = None
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}}  # fmt: skip

    @settings(max_examples=15)
    @given(TURNS, st.booleans())
    def same(messages: Any, with_tool: bool) -> None:
        tools = [tool] if with_tool else None
        assert outcome(light, messages, tools) == outcome(full, messages, tools)

    same()
    assert light._light is not None and light._light.budget.limits is LIGHT


def test_both_ways_write_the_same_for_templates_of_models(shared: Path) -> None:
    for path in sorted((shared / "tokenizers").glob("*/chat_template.jinja")):
        light, full = template(path.read_text()), template(path.read_text())
        full._light = None
        messages = [
            {"role": "user", "content": "a </think> b"},
            {"role": "assistant", "content": "<think>c</think> d"},
        ] * 2
        assert outcome(light, messages, None) == outcome(full, messages, None)
