"""Fixtures for the tests of encoding. Also puts this folder on the path, so that tests can import the helpers in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent))  # importlib mode does not do this


@pytest.fixture(scope="module", autouse=True)
def forget(request: pytest.FixtureRequest) -> Iterator[None]:
    """An encoder for each template takes some 10 MB: what a module keeps of them goes with its last test."""
    yield
    for value in vars(request.module).values():
        if hasattr(value, "cache_clear") and value.__module__ == request.module.__name__:
            value.cache_clear()


@pytest.fixture(scope="session")
def byte_level() -> Any:
    """A byte-level tokenizer, not yet written to a folder."""
    import tiny_tokenizers

    return tiny_tokenizers.byte_level()


@pytest.fixture
def make_encoder(byte_level: Any, tmp_path: Path) -> Callable[..., RecordEncoder]:
    """Makes an encoder with a small tokenizer and a template, given as source or as the name of a built-in one."""
    import tiny_tokenizers

    def make(
        source: str | None = None, name: str = "auto", eos: str = "<|im_end|>", backend: Any = "tokenizers", **more: Any
    ) -> RecordEncoder:
        folder = tiny_tokenizers.write_folder(tmp_path, byte_level, source, eos_token=eos)
        files = load_tokenizer(str(folder))
        return RecordEncoder(EncodeSettings(files=files, date="2024-02-29", template=name, backend=backend, **more))

    return make
