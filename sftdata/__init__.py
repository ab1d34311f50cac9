"""sftdata: raw instruction and chat data in; tokenized, label-masked, packed shards out, every row accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sftdata.config import Config, load_config, parse_config
    from sftdata.pipeline.prepare import prepare
    from sftdata.records.tools_as_text import tools_as_text
    from sftdata.store.manifest import Manifest
    from sftdata.store.verify import verify
    from sftdata.view.dataset import open_dataset as open

__all__ = [
    "Config",
    "Manifest",
    "__version__",
    "load_config",
    "open",
    "parse_config",
    "prepare",
    "tools_as_text",
    "verify",
]

_HOMES = {
    "Config": "sftdata.config:Config",
    "Manifest": "sftdata.store.manifest:Manifest",
    "load_config": "sftdata.config:load_config",
    "open": "sftdata.view.dataset:open_dataset",
    "parse_config": "sftdata.config:parse_config",
    "prepare": "sftdata.pipeline.prepare:prepare",
    "tools_as_text": "sftdata.records.tools_as_text:tools_as_text",
    "verify": "sftdata.store.verify:verify",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import sftdata` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, _, attribute = _HOMES[name].partition(":")
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value
