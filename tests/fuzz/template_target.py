"""The renderer of chat templates: any template and any messages end in a text or in the declared refusal, in bounds."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

import time
from datetime import date as Date
from typing import Any, NamedTuple

from hangs import no_hang
from hypothesis import strategies as st
from hypothesis import target
from json_examples import JSON, TEXTS

from sftdata.encode.template.jinja import ChatTemplate, RenderError, TooMuch
from sftdata.encode.template.load import template_names, template_source
from sftdata.errors import TemplateError


class Example(NamedTuple):
    """A template and what it renders."""

    source: str
    messages: list[dict[str, Any]]
    tools: list[Any] | None
    kwargs: dict[str, Any]


NAMES = st.sampled_from(["a", "b", "ns", "m", "x", "messages", "message", "tools", "range", "caller"])
# So that most names are there.
HEAD = "{% macro m(a=1, b='b') %}{{ a }}{{ b }}{% endmacro %}{% set ns = namespace(a='ab', b=[1]) %}{% set a = 'ab' %}"
HEAD += "{% set b = [1, 'x'] %}{% set x = 7 %}{% set message = messages | first %}"
NUMBERS = st.sampled_from(["0", "1", "2", "3", "-1", "7", "100", "9999", "99999", "10**9", "10**30", "1e308", "1.5", "2**70", "9" * 50, "(10**9)"])  # fmt: skip
STRINGS = st.sampled_from(["''", "'a'", "'ab\\n'", "'%s'", "'%d'", "'%999999999d'", "'{}'", "'{:>99999999}'", "'{0.__class__}'", "'{a[b]}'", "'é' * 3", "'\\t'", "'<b>'", "'%(a)s'", "'{:{}}'", "'a,b,c'"])  # fmt: skip
ATOMS = NAMES | NUMBERS | STRINGS | st.sampled_from(
    ["[]", "[1, 2, 3]", "{}", "{'a': 1}", "(1, 2)", "true", "none", "range(9)", "range(99999)", "range(10**9)", "dict(a=1)",
     "namespace(a=1)", "cycler(1, 2)", "joiner(',')", "messages[0].content", "messages[-1]['role']", "loop.index", "loop",
     "messages | tojson", "tools", "[1] * 99999", "'a' * 99999", "''.join", "'a'.format", "lipsum", "x.__class__", "''.__class__.__mro__",
     "strftime_now('%Y')", "raise_exception('no')", "add_generation_prompt", "undefined_name", "undefined_name.a"]
)  # fmt: skip
FILTERS = st.sampled_from(
    ["abs", "attr('a')", "attr('__class__')", "batch(3)", "batch(99999, 0)", "capitalize", "center(9)", "center(99999999)", "count",
     "default('x')", "dictsort", "e", "escape", "filesizeformat", "first", "float", "forceescape", "format(1)", "format(*[1, 2])", "groupby(0)",
     "indent", "indent(99999999)", "indent('ab', true)", "int", "int(0, 36)", "items", "join", "join('ab')", "last", "length", "list", "lower",
     "map('upper')", "map('list')", "map(attribute='content')", "map('center', 99999)", "max", "min", "pprint", "random", "reject", "rejectattr('a')",
     "replace('a', 'bbbb')", "replace('', 'b' * 999)", "reverse", "round(2)", "round(99999, 'ceil')", "round(-400)", "safe", "select",
     "selectattr('role', 'equalto', 'user')", "slice(3)", "slice(99999)", "sort", "sort(attribute='content')", "string", "striptags", "sum",
     "sum(start=[])", "sum(start='')", "title", "tojson", "tojson(indent=4)", "tojson(indent=9999999)", "trim", "truncate(3)", "unique", "upper",
     "urlencode", "urlize", "wordcount", "wordwrap(1)", "wordwrap(1, wrapstring='a' * 999)", "xmlattr", "map('join')", "map('string')"]
)  # fmt: skip
METHODS = st.sampled_from(
    ["append(1)", "update({'a': 1})", "format(1, 2)", "format(a=1)", "format_map({'a': 1})", "join(['a', 'b'])", "join('ab' * 999)",
     "split('a')", "split()", "splitlines()", "replace('a', 'bb')", "replace('', 'b' * 9999)", "ljust(99999999)", "zfill(999)", "center(10**9, 'x')",
     "expandtabs(99999999)", "encode()", "encode('utf-16')", "encode().decode()", "encode().hex()", "translate({97: 'b' * 9999})", "count('')",
     "strip('a')", "items()", "keys()", "values()", "get('a', 1)", "get('content')", "startswith('a')", "upper()", "title()", "casefold()",
     "to_bytes(99999999, 'big')", "bit_length()", "is_integer()", "as_integer_ratio()", "hex()", "isdigit()", "find('a')", "partition('a')",
     "rsplit('a', 1)", "copy()", "pop()", "sort()", "index(1)", "removeprefix('a')", "fromhex('00')", "maketrans('a', 'b')", "__len__()",
     "next()", "reset()", "current", "a", "content", "__init__.__globals__", "gi_frame", "mro()", "conjugate()", "real", "fromkeys(range(99999))"]
)  # fmt: skip
TESTS = st.sampled_from(["defined", "string", "mapping", "iterable", "number", "none", "in [1, 2]", "divisibleby 3", "eq 1", "lt 'a'", "callable", "filter", "sameas none", "odd", "upper"])  # fmt: skip
OPERATORS = st.sampled_from(["+", "-", "*", "*", "**", "/", "//", "%", "~", "==", "<", "in", "not in", "and", "or"])


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, OPERATORS, inner),
        st.builds("({} | {})".format, inner, FILTERS),
        st.builds("({}).{}".format, inner, METHODS),
        st.builds("({} is {})".format, inner, TESTS),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'a': {}, 'b': {}}}".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({})[{}:{}]".format, inner, inner, inner),
        st.builds("dict(a={}, b={})".format, inner, inner),
        st.builds("dict({}, **{{'c': {}}})".format, inner, inner),
        st.builds("namespace(a={}, b={})".format, inner, inner),
        st.builds("range({})".format, inner),
        st.builds("m({})".format, inner),
        st.builds("m(*{})".format, inner),
        st.builds("(not {})".format, inner),
        st.builds("(-{})".format, inner),
        st.builds(lambda one, times: "(" + " ~ ".join([one] * times) + ")", inner, st.sampled_from([2, 9, 40])),
        st.builds(lambda one, times: "(" + " + ".join([one] * times) + ")", inner, st.sampled_from([2, 9, 40])),
        st.builds(lambda one, name, times: one + f" | {name}" * times, inner, FILTERS, st.sampled_from([2, 5])),
    )


EXPRESSIONS = st.recursive(ATOMS, _expressions, max_leaves=8)
SPACE = st.sampled_from(["", "", "-"])


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    value = EXPRESSIONS
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{{% for x in {} %}}{}{{% endfor %}}".format, value, inner),
        st.builds("{{% for x in {} if {} %}}{}{{% else %}}{}{{% endfor %}}".format, value, value, inner, inner),
        st.builds("{{% for x in {} recursive %}}{}{{{{ loop({}) }}}}{{% endfor %}}".format, value, inner, value),
        st.builds("{{% for a, b in {} %}}{}{{% endfor %}}".format, value, inner),
        st.builds("{{% if {} %}}{}{{% elif {} %}}{}{{% endif %}}".format, value, inner, value, inner),
        st.builds("{{% macro m(a, b={}) %}}{}{{% endmacro %}}".format, value, inner),
        st.builds("{{% macro m(a) %}}{{{{ m({}) }}}}{}{{% endmacro %}}{{{{ m({}) }}}}".format, value, inner, value),
        st.builds("{{% call(x) m({}) %}}{}{{% endcall %}}".format, value, inner),
        st.builds("{{% set {} %}}{}{{% endset %}}".format, NAMES, inner),
        st.builds("{{% set {} | {} %}}{}{{% endset %}}".format, NAMES, FILTERS, inner),
        st.builds("{{% filter {} %}}{}{{% endfilter %}}".format, FILTERS, inner),
        st.builds("{{% with a = {}, b = {} %}}{}{{% endwith %}}".format, value, value, inner),
        st.builds("{{% block {} %}}{}{{% endblock %}}".format, NAMES, inner),
        st.builds("{{% generation %}}{}{{% endgeneration %}}".format, inner),
        st.builds("{{% autoescape {} %}}{}{{% endautoescape %}}".format, value, inner),
        st.builds(lambda one, times: one * times, inner, st.sampled_from([2, 5, 60])),
        st.builds(
            lambda one, number: f"{{% for x in range({number}) %}}{one}{{% endfor %}}",
            inner,
            st.sampled_from([3, 99, 99999]),
        ),
    )


PIECES = st.one_of(
    st.builds("{{{{{} {} {}}}}}".format, SPACE, EXPRESSIONS, SPACE),
    st.builds("{{% set {} = {} %}}".format, NAMES, EXPRESSIONS),
    st.builds("{{% set a, b = {} %}}".format, EXPRESSIONS),
    st.builds("{{% set ns.a = {} %}}".format, EXPRESSIONS),
    st.builds("{{% set {0} = {0} {1} {0} %}}".format, NAMES, OPERATORS),
    st.sampled_from(["{% set ns = namespace(a='a', b=[1]) %}", "{% break %}", "{% continue %}", "{% set a = 'ab' %}", "{% set a = a ~ a %}"]),
    st.sampled_from(["{% set ns.a = ns.a + ns.a %}", "{% set ns.b = [ns.b, ns.b] %}", "{# x #}", "{% raw %}{{{% endraw %}", "text", "\n", "{{", "{%"]),
    st.sampled_from(["{% include 'a' %}", "{% import 'a' as b %}", "{% extends 'a' %}", "{% from 'a' import b %}", "{{ loop }}", "{{ self }}"]),
    TEXTS,
)  # fmt: skip
SOURCES = st.recursive(PIECES, _statements, max_leaves=8)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": TEXTS | st.none()},
        optional={"tool_calls": JSON, "name": TEXTS, "reasoning_content": TEXTS},
    ),
    max_size=4,
)
VALUES: st.SearchStrategy[Any] = st.sampled_from([10**10, "a" * 9999, [1] * 999, 1.5, None, True]) | JSON


@st.composite
def _examples(draw: st.DrawFn) -> Example:
    source = draw(st.sampled_from([HEAD, HEAD, HEAD, ""])) + draw(SOURCES)
    if draw(st.integers(0, 4)) == 0:  # inside one of ours, anywhere
        ours = template_source(draw(st.sampled_from(template_names())))
        at = draw(st.integers(0, len(ours)))
        source = ours[:at] + source + ours[at + draw(st.sampled_from([0, 1, 20])) :]
    tools = draw(st.none() | st.lists(JSON, max_size=2))
    kwargs = draw(st.dictionaries(st.sampled_from(["a", "b", "x", "date_string"]), VALUES, max_size=2))
    return Example(source, draw(TURNS), tools, kwargs)


EXAMPLES = _examples()
MAX_CHARS = 1 << 25  # of a rendering


def check(example: Example) -> None:
    """A text, or a sentence: of a template that cannot be compiled, refuses or takes too much. Twice the same."""
    with no_hang():
        try:
            template = ChatTemplate(
                example.source, name="theirs", special_tokens={"bos_token": "<s>"}, today=Date(2026, 1, 1)
            )
        except TemplateError as error:
            assert str(error).startswith("theirs")
            return
        started = time.process_time()
        first = rendered(template, example)
        target(float(len(first)), label="characters")
        if time.process_time() - started < 1:
            assert rendered(template, example) == first, "another rendering is another one"


def rendered(template: ChatTemplate, example: Example) -> str:
    """The text, or why there is none."""
    try:
        text = template.render(example.messages, tools=example.tools, kwargs=example.kwargs, add_generation_prompt=True)
    except TooMuch as error:
        assert "memory" not in str(error), "memory is bounded by other limits"
        return f"TooMuch: {error}"
    except RenderError as error:
        return f"RenderError: {error}"
    assert len(text) <= MAX_CHARS
    return text
