"""Chat templates rendered as transformers renders them: sandboxed Jinja, with a fixed date as today.

The environment follows transformers' documentation (trim_blocks, lstrip_blocks, loop controls, `raise_exception`,
`strftime_now`, a `tojson` that does not escape HTML). Tests compare the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from datetime import datetime
from functools import cached_property, lru_cache
from types import CodeType
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sftdata.errors import TemplateError

Turn = dict[str, Any]


class RenderError(Exception):
    """The template refused a conversation, with this message."""


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
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which asks for each attribute whether a template may read it: half of the time of rendering.

    What it answers depends on the types of the object and of the value, and on the name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._safe: dict[tuple[type, str, type], bool] = {}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """See SandboxedEnvironment.is_safe_attribute."""
        key = type(obj), attr, type(value)
        if key not in self._safe:
            self._safe[key] = super().is_safe_attribute(obj, attr, value)
        return self._safe[key]


def make_environment(today: Date) -> jinja2.Environment:
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
        self._render = self._compile(environment, source)
        self._render_tools = self._compile(environment, tool_source) if tool_source else self._render

    def _compile(self, environment: jinja2.Environment, source: str) -> Callable[..., str]:
        try:
            code = _code_of(source)
            tokens = environment.make_globals(self.special_tokens)
            return environment.template_class.from_code(environment, code, tokens).render
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{self.name}:{error.lineno}", f"is not a Jinja template: {error.message}") from error

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
        """The conversation as text. Raises RenderError with the template's own message if it refuses."""
        render = self._render_tools if tools else self._render
        # Like transformers: a field that is null is left out.
        messages = [
            {name: value for name, value in turn.items() if value is not None} if None in turn.values() else turn
            for turn in messages
        ]
        try:
            return render(
                messages=messages,
                tools=tools or None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **(kwargs or {}),
            )
        except jinja2.exceptions.TemplateError as error:
            raise RenderError(error.message or type(error).__name__) from error
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ZeroDivisionError, OverflowError) as error:
            raise RenderError(f"{type(error).__name__}: {error}") from error
