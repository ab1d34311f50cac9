"""Names on a page about a run: none has the folders of the machine that it ran on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sftdata.view.summary import last_part

_PATHS = ("shards", "model", "out", "resume")  # settings
_ABSOLUTE = re.compile(r"[/\\~]|[A-Za-z]:[/\\]")
_IN_TEXT = re.compile(r"(?<![\w.:/\\<~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\:,;'\"]+[/\\])+(?=[^\s/\\:,;'\"])")


class Names:
    """The names that a page shows for the paths in a run's settings, and in texts."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        paths = {value for name in _PATHS if isinstance(value := config.get(name), str) and _ABSOLUTE.match(value)}
        self._paths = sorted(paths, key=lambda path: (-len(path), path))

    def name(self, path: str) -> str:
        """A path by its last part where it begins at the root, else as it is."""
        return last_part(path) if _ABSOLUTE.match(path) else path

    def text(self, text: str) -> str:
        """A sentence in which paths may stand."""
        for path in self._paths:
            text = text.replace(path, last_part(path))
        return _IN_TEXT.sub("", text)

    def value(self, value: Any) -> Any:
        """A setting, with the texts in it as they are named here."""
        if isinstance(value, str):
            return self.name(value)
        if isinstance(value, Mapping):
            return {name: self.value(one) for name, one in value.items()}
        return [self.value(one) for one in value] if isinstance(value, (list, tuple)) else value
