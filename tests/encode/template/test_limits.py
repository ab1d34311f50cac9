"""Templates from strangers: what takes too much ends at once in a sentence, and nothing differs from run to run."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

from datetime import date as Date
from typing import Any

import pytest
import tiny_tokenizers
from small_chats import chat

from sftdata.encode.template.jinja import ChatTemplate, RenderError, TooMuch
from sftdata.errors import TemplateError
from sftdata.records.record import Record

BIG = "1000000000"
BOMBS = {
    "a text many times": "{{ 'a' * 10**10 }}",
    "a number of texts": "{{ 10**10 * 'a' }}",
    "a list many times": "{{ [1] * 10**10 }}",
    "a power": "{% set x = 10**9 %}{{ x ** x }}",
    "squares": "{% set n = namespace(x=10) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "filtered loops": "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "a format's width": "{{ '%1000000000d' % 1 }}",
    "a format's width as a value": "{{ '%*d' % (1000000000, 1) }}",
    "a format's precision": "{{ '%.1000000000f'|format(1.0) }}",
    "a format with many values": "{{ ('%(a)s' * 1000000) % {'a': 'a' * 1000000} }}",
    "str.format": "{{ '{:>1000000000}'.format(1) }}",
    "str.format with a nested width": "{{ '{:>{}}'.format(1, 1000000000) }}",
    "str.format_map": "{{ '{a:>1000000000}'.format_map({'a': 1}) }}",
    **{f"str.{name}": f"{{{{ 'a'.{name}({BIG}) }}}}" for name in ("ljust", "rjust", "center", "zfill")},
    "int.to_bytes": f"{{{{ (1).to_bytes(length={BIG}) }}}}",
    "str.expandtabs": f"{{{{ '\\t'.expandtabs(tabsize={BIG}) }}}}",
    "str.replace": "{% set a = 'a' * 100000 %}{{ a.replace('', a) }}",
    "str.join": "{% set a = 'a' * 100000 %}{{ a.join(a) }}",
    "str.translate": "{% set a = 'a' * 100000 %}{{ a.translate({97: a}) }}",
    "filter center": f"{{{{ ['a'] | map('center', {BIG}) | list }}}}",
    "filter indent": f"{{{{ 'a\\nb' | indent(width={BIG}) }}}}",
    "filter batch": f"{{{{ [1] | batch({BIG}, 0) | list }}}}",
    "filter slice": f"{{{{ [1] | slice({BIG}) | list }}}}",
    "filter replace": "{% set a = 'a' * 100000 %}{{ a | replace('', a) }}",
    "filter join": "{% set a = 'a' * 100000 %}{{ range(99999) | join(a) }}",
    "filter round": f"{{{{ 5 | round(-{BIG}, 'ceil') }}}}",
    "filter wordwrap": "{% set a = 'a' * 100000 %}{{ a | wordwrap(1, wrapstring=a) }}",
    "filter tojson": f"{{{{ [1] | tojson(indent={BIG}) }}}}",
    "doubled with +": "{% set s = 'ab' %}" + "{% set s = s + s %}" * 60,
    "doubled with ~": "{% set s = 'ab' %}" + "{% set s = s ~ s %}" * 60,
    "doubled in blocks": "{% set s = 'ab' %}" + "{% set s %}{{ s }}{{ s }}{% endset %}" * 60,
    "doubled lists": "{% set s = [1] %}" + "{% set s = [s, s] %}" * 60 + "{{ s }}",
    "doubled in a namespace": "{% set n = namespace(s='a') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "doubled in calls": "{% macro m(x) %}{{ m(x + x) }}{% endmacro %}{{ m('ab') }}",
    "doubled objects": "{% set s = dict(a=1) %}" + "{% set s = dict(a=s, b=s) %}" * 60 + "{{ s }}",
    "doubled with with": "{% with s = 'ab' %}" + "{% with s = s + s %}" * 40 + "{% endwith %}" * 41,
    "calls without end": "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
    "loops without end": "{% for x in [[1]] recursive %}{{ loop([x, x]) }}{% endfor %}",
    "output": "{% set s = 'a' * 10000000 %}{% for i in range(99999) %}{{ s }}{% endfor %}",
    "output of sums": "{% set s = 'a' * 10000000 %}{% for i in range(99999) %}{{ s + 'x' }}{% endfor %}",
}
ADDRESSES = ("range", "[range]", "''.join", "joiner()", "messages | map('upper')", "'%s' % range", "range ~ ''")
UNKNOWN = {"random": "{{ [1] | random }}", "pprint": "{{ [1] | pprint }}", "urlize": "{{ 'x' | urlize }}"}
NOT_COMPILED = {
    "brackets": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "it is nested too deeply"),
    "conditions": ("{% if x %}" * 3000 + "{% endif %}" * 3000, "it is nested too deeply"),
    "loops": ("{% for x in y %}" * 30 + "{% endfor %}" * 30, "too many statically nested blocks"),
    "a long number": ("{{ " + "9" * 9999 + " }}", "4300 digits"),
}


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, name="theirs", special_tokens={}, today=Date(2026, 1, 1))


def render(source: str, content: str = "hi") -> str:
    return template(source).render([{"role": "user", "content": content}])


@pytest.mark.parametrize("name", BOMBS)
def test_a_template_that_takes_too_much_ends_in_a_sentence(name: str) -> None:
    with pytest.raises(TooMuch, match=r"which is the limit|takes too much calls inside calls"):
        render(BOMBS[name])


@pytest.mark.parametrize("expression", ADDRESSES)
def test_addresses_of_objects_are_not_written(expression: str) -> None:
    with pytest.raises(RenderError, match="it writes the address of an object, which is another one in every run"):
        render(f"{{{{ {expression} }}}}{{{{ messages[0].content }}}}")


def test_an_address_in_a_message_is_text() -> None:
    assert render("{{ messages[0].content }}", "<f object at 0x7f00>") == "<f object at 0x7f00>"


def test_what_differs_from_run_to_run_is_not_there() -> None:
    with pytest.raises(RenderError, match="'lipsum' is undefined"):
        render("{{ lipsum() }}")
    for name, source in UNKNOWN.items():
        with pytest.raises(TemplateError, match=f"No filter named '{name}'"):
            template(source)


@pytest.mark.parametrize("name", NOT_COMPILED)
def test_a_template_that_cannot_be_compiled_is_a_sentence(name: str) -> None:
    source, why = NOT_COMPILED[name]
    with pytest.raises(TemplateError, match=f"theirs: cannot be compiled as a Jinja template: .*{why}"):
        template(source)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% set s = 'a' ~ (1 + 1) %}{{ s }}{{ 7 % 4 }}{{ 2 ** 3 }}{{ 'ab' * 2 }}", "a238abab"),
        ("{{ " + " ~ ".join(map(str, range(20))) + " }}", "".join(map(str, range(20)))),
        ("{{ " + " + ".join(["'x'"] * 40) + " }}", "x" * 40),
        ("{% set n = namespace(t='') %}{% for i in range(3) %}{% set n.t = n.t + 'b' %}{% endfor %}{{ n.t }}", "bbb"),
        ("{% set x = [messages[0]] + messages %}{{ x | length }}{{ '%5.1f|%s' % (1.25, 'c') }}", "2  1.2|c"),
        ("{% for x in [1, 2, 3, 4] if x > 2 %}{{ loop.index }}{{ x }}{% else %}no{% endfor %}", "1324"),
        ("{% for x in [1, 2] if x > 2 %}{{ x }}{% else %}no{% endfor %}", "no"),
        ("{{ '-'.join(['a', 'b']) }}{{ 'a'.ljust(3) }}|{{ '{:>3}{n}'.format(1, n=2) }}", "a-ba  |  12"),
        ("{{ 'a\nb' | indent(2) }}{{ [1, 2] | join('+') }}{{ 'a' | center(3) }}{{ 'aa' | replace('a', 'b') }}", "a\n  b1+2 a bb"),
        ("{{ '%d items' | format(3) }}{{ 2.345 | round(2) }}{{ [[1, 2], [3]] | sum(start=[]) }}", "3 items2.35[1, 2, 3]"),
    ],
)  # fmt: skip
def test_limits_change_nothing_else(source: str, text: str) -> None:
    assert render(source) == text


def test_limits_begin_anew_with_every_rendering() -> None:
    loops = template("{% for a in range(500) %}{% for b in range(1500) %}{% endfor %}{% endfor %}done")
    assert [loops.render([]) for _ in range(3)] == ["done"] * 3


def test_a_template_that_takes_too_much_for_a_probe_is_an_error_of_the_template(make_encoder: Any) -> None:
    with pytest.raises(TemplateError, match=r"cannot render a short conversation: it builds a text of more than"):
        make_encoder("{{ 'a' * 10**10 }}" + tiny_tokenizers.CHATML).load()


def test_arguments_of_a_row_that_take_too_much_cost_the_row(make_encoder: Any) -> None:
    encoder = make_encoder("{{ 'a' * (n or 1) }}" + tiny_tokenizers.CHATML)
    good, big = chat("hi", "yo"), Record(chat("hi", "yo").messages, template_kwargs={"n": 10**10})
    (_,), drop = encoder.encode([good, big])
    assert drop.reason == "template_error" and "which is the limit" in drop.detail


def test_python_warns_of_nothing_in_a_template() -> None:
    assert render("{% if false %}{{ 1[a:b] }}{% endif %}x") == "x"
