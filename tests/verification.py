"""Checks that `verify` reports what is wrong with a dataset, also if its manifest was changed to fit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sftdata.errors import DatasetError
from sftdata.store.verify import verify


def check_rejected(folder: Path, sentence: str) -> None:
    """`verify` raises a one-line DatasetError that contains the sentence."""
    with pytest.raises(DatasetError) as caught:
        verify(folder)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write a changed manifest with its right hash, as someone who means to deceive would."""
    content = {key: value for key, value in manifest.items() if key != "manifest_hash"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    content["manifest_hash"] = hashlib.sha256(canonical.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(content))
