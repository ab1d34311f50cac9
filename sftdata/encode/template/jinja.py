"""Chat templates rendered as transformers renders them: sandboxed Jinja, with a fixed date as today.

The environment follows transformers' documentation (trim_blocks, lstrip_blocks, loop controls, `raise_exception`,
`strftime_now`, a `tojson` that does not escape HTML). Tests compare the two. Unlike there, nothing in it differs
from run to run (`lipsum`, `random`), and a rendering has limits: see limits.py.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from datetime import datetime
from functools import cached_property, lru_cache
from types import BuiltinMethodType, CodeType, MethodType
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEscapeFormatter, SandboxedFormatter
from markupsafe import Markup

from sftdata.encode.template import limits
from sftdata.errors import TemplateError, first_line

Turn = dict[str, Any]


# What Jinja has and a template may not use, because it gives something else each time or takes the square of its input.
_LEFT_OUT = ("random", "pprint", "urlize")
_METHODS = frozenset((MethodType, BuiltinMethodType))
_OF_DICTS = frozenset(dir(dict))
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class RenderError(Exception):
    """The template refused a conversation, with this message."""


class TooMuch(RenderError):
    """The template does more for a conversation than a template may do."""


class _Generation(jinja2.ext.Extension):
    """`{% generation %}...{% endgeneration %}` renders its body. The markers themselves are not needed here."""

    tags = {"generation"}  # noqa: RUF012 - Jinja requires a class attribute

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


class _TemplateNamespace(jinja2.utils.Namespace):
    """Jinja's namespace without underscore names, like transformers': keeps templates out of Python's internals."""

    def __init__(*args: Any, **attributes: Any) -> None:
        self, *given = args
        values = dict(*given, **attributes)
        for name in values:
            _refuse_private(name)
        jinja2.utils.Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: object) -> None:
        _refuse_private(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}")


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    if indent is not None:
        limits.need(len(indent) if isinstance(indent, str) else indent, limits.MAX_DIGITS)
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class _Limited(SandboxedFormatter):
    """What formats `'{}'.format(...)`, with limits."""

    _size = 0

    def format_field(self, value: Any, format_spec: str) -> Any:
        """See string.Formatter.format_field."""
        limits.check_format(format_spec)
        text = super().format_field(value, format_spec)
        self._size += len(text)
        limits.need(self._size)
        return text


class _Escaping(_Limited, SandboxedEscapeFormatter):
    """The same for a text that is marked as HTML."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which asks for each attribute whether a template may read it: half of the time of rendering.

    What it answers depends on the types of the object and of the value, and on the name. Templates have limits.
    """

    intercepted_binops = frozenset(("*", "**", "%"))
    concat = staticmethod(limits.joined)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._safe: dict[tuple[type, str, type], bool] = {}
        self.steps = limits.Steps()
        del self.globals["lipsum"]
        for name in _LEFT_OUT:
            del self.filters[name]
        for name in limits.LIMITED_FILTERS:
            self.filters[name] = limits.limited_filter(name, self.filters[name])
        self.filters[limits.STEP], self.filters[limits.HOLD] = self.steps.step, limits.held
        self.binop_table.update({"*": limits.product, "**": limits.power, "%": limits.remainder})

    def _generate(
        self, source: jinja2.nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        limited: jinja2.nodes.Template = limits.Limited().visit(source)
        return super()._generate(limited, name, filename, defer_init)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """See SandboxedEnvironment.call_binop."""
        if operator == "%" and isinstance(left, int):
            return left % right  # nearly all
        return self.binop_table[operator](left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as Jinja
        """See SandboxedEnvironment.call."""
        if type(__obj) is BuiltinMethodType:  # methods of texts, lists and objects, which Jinja asks much about
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            if __obj.__name__ in limits.METHODS:
                args = limits.check_method(__obj.__self__, __obj.__name__, args, kwargs)
            return __obj(*args, **kwargs)
        value = super().call(__context, __obj, *args, **kwargs)
        if type(value) is str and len(value) < limits.MAX_CHARS:
            return value
        return limits.hold(value)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """See SandboxedEnvironment.getattr, which asks of every value whether it is `str.format`."""
        if type(obj) is dict and attribute not in _OF_DICTS:  # nearly all
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        try:
            value = getattr(obj, attribute)
        except AttributeError:
            try:
                return obj[attribute]
            except (TypeError, LookupError):
                return self.undefined(obj=obj, name=attribute)
        if type(value) in _METHODS and (wrapped := self.wrap_str_format(value)) is not None:
            return wrapped
        return value if self.is_safe_attribute(obj, attribute, value) else self.unsafe_undefined(obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """See SandboxedEnvironment.wrap_str_format."""
        if type(value) not in _METHODS or value.__name__ not in ("format", "format_map"):
            return None  # nearly all
        text = value.__self__
        if not isinstance(text, str):
            return None
        kind = type(text)

        def formatter() -> _Limited:
            return _Escaping(self, escape=text.escape) if isinstance(text, Markup) else _Limited(self)

        if value.__name__ == "format_map":
            return lambda values: kind(formatter().vformat(text, (), values))
        return lambda *args, **named: kind(formatter().vformat(text, args, named))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """See SandboxedEnvironment.is_safe_attribute."""
        key = type(obj), attr, type(value)
        if key not in self._safe:
            self._safe[key] = super().is_safe_attribute(obj, attr, value)
        return self._safe[key]


def make_environment(today: Date) -> _Sandbox:
    """The sandbox in which templates run. In it, `strftime_now` formats midnight of `today`."""

    def strftime_now(pattern: str) -> str:
        return datetime(today.year, today.month, today.day).strftime(pattern)

    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = strftime_now
    environment.globals["namespace"] = _TemplateNamespace
    return environment


@lru_cache(maxsize=8)
def _code_of(source: str) -> CodeType:
    """A template compiled to Python code, which does not depend on the date."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # Python's, of a template such as `{{ 1[a:b] }}`
        return make_environment(Date.min).compile(source)


class ChatTemplate:
    """A compiled chat template with the tokenizer's special tokens bound to it.

    `source` renders conversations without tools. `tool_source` (the tokenizer's `tool_use` template) renders those with
    tools; if it is None, `source` does. Raises TemplateError if a source is not valid Jinja.
    """

    def __init__(
        self,
        source: str,
        *,
        name: str,
        special_tokens: Mapping[str, str],
        today: Date,
        tool_source: str | None = None,
    ) -> None:
        self.source = source
        self.tool_source = tool_source
        self.name = name
        self.today = today
        self.special_tokens = dict(special_tokens)
        environment = make_environment(today)
        self._steps = environment.steps
        self._render = self._compile(environment, source)
        self._render_tools = self._compile(environment, tool_source) if tool_source else self._render

    def _compile(self, environment: jinja2.Environment, source: str) -> Callable[..., str]:
        try:
            code = _code_of(source)
            # One dict, where Jinja chains two, which it would join for each rendering.
            known = {**environment.globals, **self.special_tokens}
            return environment.template_class.from_code(environment, code, known).render
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{self.name}:{error.lineno}", f"is not a Jinja template: {error.message}") from error
        except Exception as error:  # of Python's compiler: blocks too deep, numbers too long, null characters
            why = "it is nested too deeply" if isinstance(error, RecursionError) else first_line(error)
            raise TemplateError(self.name, f"cannot be compiled as a Jinja template: {why}") from error

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources that a conversation may be rendered with."""
        return (self.source,) if self.tool_source is None else (self.source, self.tool_source)

    @cached_property
    def variables(self) -> frozenset[str]:
        """The names that the template takes from outside: messages, tools, and the template arguments that it knows."""
        environment = make_environment(self.today)
        trees = (environment.parse(source) for source in self.sources)
        return frozenset(name for tree in trees for name in jinja2.meta.find_undeclared_variables(tree))

    def render(
        self,
        messages: Sequence[Turn],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """The conversation as text. Raises RenderError with the template's own message if it refuses, and TooMuch if it
        does more than a template may do.
        """
        render = self._render_tools if tools else self._render
        # Like transformers: a field that is null is left out.
        messages = [
            {name: value for name, value in turn.items() if value is not None} if None in turn.values() else turn
            for turn in messages
        ]
        self._steps.start()
        try:
            text = render(
                messages=messages,
                tools=tools or None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **(kwargs or {}),
            )
        except limits.LimitError as error:
            raise TooMuch(error.message or "") from error
        except jinja2.exceptions.TemplateError as error:
            raise RenderError(error.message or type(error).__name__) from error
        except (MemoryError, RecursionError) as error:
            what = "memory" if isinstance(error, MemoryError) else "calls inside calls"
            raise TooMuch(f"it takes too much {what}") from error
        except Exception as error:  # only the template's code runs here, and it may raise anything
            raise RenderError(f"{type(error).__name__}: {_ADDRESS.sub('', str(error))}") from error
        if " at 0x" in text:
            given = f"{self.sources}{messages}{tools}{kwargs}"
            if any(found not in given for found in _ADDRESS.findall(text)):
                raise RenderError("it writes the address of an object, which is another one in every run")
        return text
