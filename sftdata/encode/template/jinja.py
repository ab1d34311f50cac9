"""Chat templates rendered as transformers renders them: sandboxed Jinja, with a fixed date as today.

The environment follows transformers' documentation (trim_blocks, lstrip_blocks, loop controls, `raise_exception`,
`strftime_now`, a `tojson` that does not escape HTML). Tests compare the two. Unlike there, nothing in it differs
from run to run (`lipsum`, `random`), and a rendering has limits: see limits/.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from datetime import datetime
from functools import cached_property, lru_cache
from types import BuiltinMethodType, CodeType, MethodType
from typing import Any, NamedTuple

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import orjson
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from sftdata.encode.template.limits import measured
from sftdata.encode.template.limits.budget import FULL, LIGHT, MAX_TEMPLATE_CHARS, Budget, LimitError, Limits
from sftdata.encode.template.limits.formatter import EscapingFormatter, MeasuredFormatter
from sftdata.encode.template.limits.light import (
    HOLD,
    LIGHT_FILTERS,
    LIGHT_METHODS,
    LOOP,
    QUICK,
    QUICK_FILTERS,
    STEP,
    Limited,
)
from sftdata.encode.template.parts import takes_only_parts, with_parts
from sftdata.errors import TemplateError, first_line

Turn = dict[str, Any]


# What Jinja has and a template may not use, because it gives something else each time or takes the square of its input.
_LEFT_OUT = ("random", "pprint", "urlize")
_METHODS = frozenset((MethodType, BuiltinMethodType))
_OF_DICTS = frozenset(dir(dict))
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_MAX_CUT_ADDRESSES = 100  # of what was given, as cut by a template
_MAX_ERROR_CHARS = 2000


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


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which asks for each attribute whether a template may read it: half of the time of rendering.

    What it answers depends on the types of the object and of the value, and on the name. Templates have limits.
    """

    def __init__(self, limits: Limits, **options: Any) -> None:
        self.light = limits is LIGHT
        self.intercepted_binops = frozenset(("*", "**", "%") if self.light else self.default_binop_table)
        super().__init__(**options)
        self._safe: dict[tuple[type, str, type], bool] = {}
        self.limits = limits
        self.budget = budget = Budget(limits)
        self.meter = meter = measured.Meter(budget)
        self.concat = budget.joined  # type: ignore[method-assign]
        del self.globals["lipsum"]
        for name in _LEFT_OUT:
            del self.filters[name]
        self.filters["tojson"] = meter.tojson
        own = {QUICK + name: budget.quick(self.filters[name]) for name in QUICK_FILTERS}
        for name, function in self.filters.items():
            if not (self.light and name in LIGHT_FILTERS):
                self.filters[name] = meter.filter(name, function)
        if not self.light:
            for name in measured.MEASURED_TESTS:
                test: Any = self.tests[name]
                self.tests[name] = meter.test(test)
        own |= {STEP: budget.step, LOOP: budget.loop, HOLD: budget.held, measured.COMPARE: meter.compare}
        own |= {measured.CONCAT: meter.concat, measured.COPY: meter.copy, measured.WRITE: meter.write}
        self.filters.update(own)

    def _generate(
        self, source: jinja2.nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        limited = Limited if self.light else measured.Measured
        return super()._generate(limited(self.limits).visit(source), name, filename, defer_init)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """See SandboxedEnvironment.call_binop."""
        if not self.light:
            return self.meter.binop(operator, left, right)
        if operator == "%" and isinstance(left, int):
            return left % right  # nearly all
        return self.meter.given(self.meter.calculate(operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as Jinja
        """See SandboxedEnvironment.call."""
        if type(__obj) is BuiltinMethodType:  # methods of texts, lists and objects, which Jinja asks much about
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            if not __self.light or __obj.__name__ not in LIGHT_METHODS:
                return __self.meter.method(__obj, args, kwargs)
            value = __obj(*args, **kwargs)
            if type(value) is list:
                __self.budget.take(len(value) >> 3)
            return value
        if not __self.light:
            __self.meter.check_call(__obj, args, kwargs)
        value = super().call(__context, __obj, *args, **kwargs)
        if type(value) is str and len(value) < __self.budget.max_chars:
            return value
        return __self.budget.hold(value)

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

        def formatter() -> MeasuredFormatter:
            return EscapingFormatter(self, escape=text.escape) if isinstance(text, Markup) else MeasuredFormatter(self)

        if value.__name__ == "format_map":
            return lambda values: kind(formatter().vformat(text, (), values))
        return lambda *args, **named: kind(formatter().vformat(text, args, named))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """See SandboxedEnvironment.is_safe_attribute."""
        key = type(obj), attr, type(value)
        if key not in self._safe:
            self._safe[key] = super().is_safe_attribute(obj, attr, value)
        return self._safe[key]


def make_environment(today: Date, limits: Limits = LIGHT) -> _Sandbox:
    """The sandbox in which templates run. In it, `strftime_now` formats midnight of `today`."""

    def strftime_now(pattern: str) -> str:
        return datetime(today.year, today.month, today.day).strftime(pattern)

    extensions = [_Generation, jinja2.ext.loopcontrols]
    environment = _Sandbox(limits, trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = strftime_now
    environment.globals["namespace"] = _TemplateNamespace
    return environment


@lru_cache(maxsize=64)  # what refusals name is found by trying all templates
def _code_of(source: str, limits: Limits) -> CodeType:
    """A template compiled to Python code, which does not depend on the date."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # Python's, of a template such as `{{ 1[a:b] }}`
        return make_environment(Date.min, limits).compile(source)


@lru_cache(maxsize=64)
def _names_in(source: str) -> frozenset[str]:
    """The names that a template takes from outside."""
    return frozenset(jinja2.meta.find_undeclared_variables(make_environment(Date.min).parse(source)))


class _Program(NamedTuple):
    """A compiled template with its environment."""

    budget: Budget
    render: Callable[..., str]
    render_tools: Callable[..., str]


class ChatTemplate:
    """A compiled chat template with the tokenizer's special tokens bound to it.

    `source` renders conversations without tools. `tool_source` (the tokenizer's `tool_use` template) renders those with
    tools; if it is None, `source` does. Raises TemplateError if a source is not valid Jinja.

    A template that takes contents only as lists of parts gets its texts so: `takes_parts`, see parts.py.
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
        self._light: _Program | None = None
        try:
            if sum(map(len, self.special_tokens.values())) < LIGHT.chars:
                self._light = self._compiled(LIGHT)
        except LimitError:
            pass  # it has large constants
        if self._light is None:
            _ = self._full
        self.takes_parts = False
        self.takes_parts = takes_only_parts(self.sources, self._written)

    @cached_property
    def _full(self) -> _Program:
        """The template with every operation measured. Raises TemplateError."""
        try:
            return self._compiled(FULL)
        except LimitError as error:
            raise TemplateError(self.name, str(error.message)) from error

    def _compiled(self, limits: Limits) -> _Program:
        environment = make_environment(self.today, limits)
        render = self._compile(environment, self.source)
        render_tools = self._compile(environment, self.tool_source) if self.tool_source else render
        return _Program(environment.budget, render, render_tools)

    def _compile(self, environment: _Sandbox, source: str) -> Callable[..., str]:
        if len(source) > MAX_TEMPLATE_CHARS:
            what = f"has {len(source):,} characters; a template may have {MAX_TEMPLATE_CHARS:,}"
            raise TemplateError(self.name, what)
        try:
            code = _code_of(source, environment.limits)
            # One dict, where Jinja chains two, which it would join for each rendering.
            known = {**environment.globals, **self.special_tokens}
            return environment.template_class.from_code(environment, code, known).render
        except LimitError:
            raise
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
        return frozenset().union(*map(_names_in, self.sources))

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
        if self.takes_parts:
            messages = with_parts(messages)
        size = 16 * len(messages)
        has_nulls, others = False, []
        for turn in messages:
            for value in turn.values():
                if type(value) is str:
                    size += len(value)
                elif value is None:
                    has_nulls = True
                else:
                    others.append(value)
        if has_nulls:  # like transformers: a field that is null is left out
            messages = [{name: value for name, value in turn.items() if value is not None} for turn in messages]
        if others or tools or kwargs:
            size += _size([others, tools, kwargs])
        values = {
            "messages": messages,
            "tools": tools or None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            **(kwargs or {}),
        }
        ends = None
        if self._light is not None and size < LIGHT.chars:
            try:
                self._light.budget.start(None, messages, size)
                return self._rendered(self._light, values)
            except TooMuch as error:
                if not isinstance(error.__cause__, LimitError):
                    raise
                ends = self._light.budget.ends
        try:
            full = self._full
        except TemplateError as error:
            raise TooMuch(str(error)) from error
        full.budget.start(ends)
        return self._rendered(full, values)

    def _written(self, messages: list[Turn], tools: list[Any] | None) -> str:
        """The conversation as text; nothing if the template refuses it."""
        try:
            return self.render(messages, tools=tools)
        except RenderError:
            return ""

    def _rendered(self, program: _Program, values: dict[str, Any]) -> str:
        try:
            text = (program.render_tools if values["tools"] else program.render)(values)
        except LimitError as error:
            raise TooMuch(error.message or "") from error
        except jinja2.exceptions.TemplateError as error:
            raise RenderError((error.message or type(error).__name__)[:_MAX_ERROR_CHARS]) from error
        except (MemoryError, RecursionError) as error:
            what = "memory" if isinstance(error, MemoryError) else "calls inside calls"
            raise TooMuch(f"it takes too much {what}") from error
        except Exception as error:  # only the template's code runs here, and it may raise anything
            why = _ADDRESS.sub("", str(error)[:_MAX_ERROR_CHARS])
            raise RenderError(f"{type(error).__name__}: {why}") from error
        if " at 0x" in text:
            given = str(list(values.values()) + list(self.sources))
            missing = set(_ADDRESS.findall(text)).difference(_ADDRESS.findall(given))
            if len(missing) > _MAX_CUT_ADDRESSES or any(found not in given for found in missing):
                raise RenderError("it writes the address of an object, which is another one in every run")
        return text


def _size(value: object) -> int:
    """About how many bytes a value has."""
    try:
        return len(orjson.dumps(value))
    except TypeError:  # what JSON does not have
        return LIGHT.chars
