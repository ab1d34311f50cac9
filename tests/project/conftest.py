"""Lets the tests in this folder import the helpers that lie beside them (importlib mode adds no folder to the path)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from documents import ROOT
from runner import Runner


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Runner:
    """Runs the pages, with the tokenizers that they name where the shared data is here."""
    shared = Path(os.environ.get("SFTDATA_SHARED", ROOT.parent / "shared")) / "tokenizers"
    return Runner(tmp_path_factory.mktemp("pages"), shared if shared.is_dir() else None, tiny_tokenizer)
