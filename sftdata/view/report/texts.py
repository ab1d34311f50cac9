"""Texts of a report: escaped, cut, without the folders of this machine and without personal data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from sftdata.curate.privacy.details import Details
from sftdata.curate.privacy.settings import PrivacyConfig
from sftdata.store.manifest import Manifest
from sftdata.view.find.texts import RowText
from sftdata.view.find.turns import SampleMessage
from sftdata.view.html.messages import message_chat
from sftdata.view.outcome import Facts
from sftdata.view.summary import last_part, short_names

MAX_CHARS, MAX_BYTES = 700, 2_500  # of a row's text, and of its HTML: a mark for a character has many bytes
_ABSOLUTE = re.compile(r"(?:[/~]|[A-Za-z]:[\\/]|file:).", re.DOTALL)


def cut(text: str, max_chars: int = MAX_CHARS) -> str:
    """The beginning of a text, and how many characters are left out."""
    more = len(text) - max_chars
    return text if more <= 0 else f"{text[:max_chars]}\u2026 ({more:,} more characters)"


def chat(messages: Sequence[SampleMessage], max_chars: int = MAX_CHARS, max_bytes: int = MAX_BYTES) -> str:
    """A conversation, its texts cut to this length together."""
    parts: list[str] = []
    for number, message in enumerate(messages):
        size = max_chars if number + 1 == len(messages) else min(max_chars, max(80, max_chars // 2))
        shown = message_chat(message.role, cut(message.content, size))
        while len(shown.encode("utf-8", "replace")) > max_bytes and size > 20:
            size //= 2
            shown = message_chat(message.role, cut(message.content, size))
        parts.append(shown)
        max_chars -= min(len(message.content), size)
        max_bytes -= len(shown.encode("utf-8", "replace"))
        if (max_chars <= 0 or max_bytes <= 0) and number + 1 < len(messages):
            more = len(messages) - number - 1
            parts.append(f'<p class="dim">and {more:,} more message{"" if more == 1 else "s"}</p>')
            break
    return "".join(parts)


class Names:
    """Files and folders as a report names them: those with the folders of a machine by their last parts."""

    def __init__(self, manifest: Manifest) -> None:
        settings: dict[str, Any] = {"tokenizer": manifest.tokenizer.source, "config": manifest.config}
        settings |= {"template": manifest.template.source if manifest.template is not None else None}
        own = [source.path for source in manifest.parts.sources]
        long = list(dict.fromkeys([*own, *(text for text in _texts(settings) if _ABSOLUTE.match(text))]))
        short = {path: _last_part(name) for path, name in zip(long, short_names(long))}
        self._short = {path: short[path] for path in sorted(long, key=len, reverse=True) if short[path] != path}

    def name(self, path: str) -> str:
        """A path as it is named here."""
        return self._short.get(path, path)

    def text(self, text: str) -> str:
        """A sentence in which paths may stand."""
        for path, short in self._short.items():
            if path in text:
                text = re.sub(rf"(?<![\w/.]){re.escape(path)}(?!\w)", short.replace("\\", r"\\"), text)
        return text

    def manifest(self, manifest: Manifest) -> Manifest:
        """A manifest with its paths as they are named here."""

        def named(entries: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(one.model_copy(update={"source": self.name(one.source)}) for one in entries)

        (tokenizer,), templates = named((manifest.tokenizer,)), named((manifest.template,) * bool(manifest.template))
        changed = {
            "tokenizer": tokenizer,
            "template": templates[0] if templates else None,
            "config": self.settings(manifest.config),
            "notes": tuple(map(self.text, manifest.notes)),
            "unused": named(manifest.unused),
            "calls_in_text": named(manifest.calls_in_text),
            "mixture": named(manifest.mixture),
        }
        return Manifest.model_construct(
            **{**{name: getattr(manifest, name) for name in Manifest.model_fields}, **changed}
        )

    def facts(self, facts: Facts) -> Facts:
        """Facts of the ledger with their paths as they are named here."""
        details = {
            reason: tuple(one._replace(text=self.text(one.text)) for one in some)
            for reason, some in facts.details.items()
        }
        groups = (
            facts.groups if facts.by else tuple(one._replace(name=self.name(one.name or "")) for one in facts.groups)
        )
        return replace(facts, details=details, groups=groups)

    def settings(self, value: Any) -> Any:
        """Settings with their paths as they are named here."""
        if isinstance(value, Mapping):
            return {key: self.settings(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.settings(item) for item in value]
        return self.name(value) if isinstance(value, str) else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _last_part(name: str) -> str:
    """A name that is still that of a place on a machine, by its last part."""
    if not _ABSOLUTE.match(name):
        return name
    return last_part(name)


class Masked:
    """Texts without secrets and, unless `privacy` is off, without personal data, as details of the ledger are."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    @cached_property
    def _details(self) -> Details:
        from pydantic import ValidationError

        try:
            return Details(PrivacyConfig.model_validate(self._manifest.config.get("privacy") or {"mode": "off"}))
        except ValidationError:  # of another version: everything is looked for
            return Details(PrivacyConfig(mode="redact"))

    def mask(self, text: str) -> str:
        """A text with placeholders."""
        return self._details.mask(text)

    def row(self, text: RowText) -> RowText:
        """The text of a row with placeholders."""
        return RowText(tuple(one._replace(content=self.mask(one.content)) for one in text.messages), text.missing)
