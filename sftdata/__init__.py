"""sftdata: raw instruction and chat data in; tokenized, label-masked, packed shards out, every row accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sftdata.audit.findings import Audit
    from sftdata.config import Config, SourceConfig
    from sftdata.config import load_config as load_config
    from sftdata.config import parse_config as parse_config
    from sftdata.errors import (
        ConfigError,
        DatasetError,
        OutputError,
        SftDataError,
        SourceError,
        TemplateError,
        TokenizerError,
        WorkerError,
    )
    from sftdata.library.check import check
    from sftdata.library.prepare import prepare
    from sftdata.progress import Progress
    from sftdata.records.tools_as_text import tools_as_text
    from sftdata.store.manifest import Manifest
    from sftdata.store.verify import verify
    from sftdata.view.dataset import Dataset
    from sftdata.view.dataset import open_dataset as open
    from sftdata.view.sample import Row, Sample

__all__ = [
    "Audit",
    "Config",
    "ConfigError",
    "Dataset",
    "DatasetError",
    "Manifest",
    "OutputError",
    "Progress",
    "Row",
    "Sample",
    "SftDataError",
    "SourceConfig",
    "SourceError",
    "TemplateError",
    "TokenizerError",
    "WorkerError",
    "__version__",
    "check",
    "open",
    "prepare",
    "tools_as_text",
    "verify",
]

_ERRORS = (
    *("ConfigError", "DatasetError", "OutputError", "SftDataError"),
    *("SourceError", "TemplateError", "TokenizerError", "WorkerError"),
)
_HOMES = {
    "Audit": "sftdata.audit.findings:Audit",
    "Config": "sftdata.config:Config",
    "Dataset": "sftdata.view.dataset:Dataset",
    "Manifest": "sftdata.store.manifest:Manifest",
    "Progress": "sftdata.progress:Progress",
    "Row": "sftdata.view.sample:Row",
    "Sample": "sftdata.view.sample:Sample",
    "SourceConfig": "sftdata.config:SourceConfig",
    "check": "sftdata.library.check:check",
    "load_config": "sftdata.config:load_config",
    "open": "sftdata.view.dataset:open_dataset",
    "parse_config": "sftdata.config:parse_config",
    "prepare": "sftdata.library.prepare:prepare",
    "tools_as_text": "sftdata.records.tools_as_text:tools_as_text",
    "verify": "sftdata.store.verify:verify",
    **{name: f"sftdata.errors:{name}" for name in _ERRORS},
}


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import sftdata` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, _, attribute = _HOMES[name].partition(":")
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value
