"""Checks that `verify` reports what is wrong with a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftdata.errors import DatasetError
from sftdata.store.verify import verify


def check_rejected(folder: Path, sentence: str) -> None:
    """`verify` raises a one-line DatasetError that contains the sentence."""
    with pytest.raises(DatasetError) as caught:
        verify(folder)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
