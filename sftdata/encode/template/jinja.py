"""Chat templates as the Hugging Face ecosystem renders them: a sandboxed Jinja with a fixed today.

The environment follows transformers' documented template contract (trim_blocks, lstrip_blocks, loop controls,
`raise_exception`, `strftime_now`, a `tojson` that does not escape HTML); tests/encode compare the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from datetime import datetime
from functools import lru_cache
from types import CodeType
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sftdata.errors import TemplateError

Turn = dict[str, Any]


class RenderError(Exception):
    """The template refused a conversation; the text is the template's own message."""


class _Generation(jinja2.ext.Extension):
    """`{% generation %}...{% endgeneration %}` renders its body: the markers are a hint that nothing here needs."""

    tags = {"generation"}  # noqa: RUF012 - what Jinja asks for

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


class _TemplateNamespace(jinja2.utils.Namespace):
    """Jinja's namespace without underscore names, as transformers has it: no way into Python's internals."""

    def __init__(*args: Any, **attributes: Any) -> None:
        self, *given = args
        wanted = dict(*given, **attributes)
        for name in wanted:
            _refuse_private(name)
        jinja2.utils.Namespace.__init__(self, wanted)

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


def make_environment(today: Date) -> jinja2.Environment:
    """The sandbox in which templates run; `strftime_now` tells the time as midnight of `today`."""

    def strftime_now(pattern: str) -> str:
        return datetime(today.year, today.month, today.day).strftime(pattern)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = strftime_now
    environment.globals["namespace"] = _TemplateNamespace
    return environment


@lru_cache(maxsize=8)
def _code_of(source: str) -> CodeType:
    """A template as Python code, the same on every day."""
    return make_environment(Date.min).compile(source)


class ChatTemplate:
    """A compiled chat template with the tokenizer's special tokens bound to it.

    `source` is used for every conversation, `tool_source` (a tokenizer's `tool_use` template) where tools are given.
    Raises TemplateError where the source is not valid Jinja.
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
        """All template texts a conversation may be rendered with."""
        return (self.source,) if self.tool_source is None else (self.source, self.tool_source)

    def render(
        self,
        messages: Sequence[Turn],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """The conversation as text. Raises RenderError with the template's own message where it refuses."""
        render = self._render_tools if tools else self._render
        # As transformers does: a field that is null is absent.
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
