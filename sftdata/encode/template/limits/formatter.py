"""What formats `'{}'.format(...)` in templates, with every part measured before it becomes text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2.sandbox import SandboxedEscapeFormatter, SandboxedFormatter

from sftdata.encode.template.limits.measured import SLOW_CHARS_PER_STEP


class MeasuredFormatter(SandboxedFormatter):
    """What formats `'{}'.format(...)`, with limits."""

    def __init__(self, env: Any, **options: Any) -> None:
        super().__init__(env, **options)
        self._meter, self._size = env.meter, 0

    def format_field(self, value: Any, format_spec: str) -> Any:
        """See string.Formatter.format_field."""
        self._meter.check_format(format_spec)
        self._meter.whole(value)
        text = super().format_field(value, format_spec)
        self._size += len(text)
        self._meter.budget.need(self._size)
        return text

    def vformat(self, format_string: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """See string.Formatter.vformat."""
        self._meter.whole(format_string, SLOW_CHARS_PER_STEP)
        return super().vformat(format_string, args, kwargs)


class EscapingFormatter(MeasuredFormatter, SandboxedEscapeFormatter):
    """The same for a text that is marked as HTML."""
