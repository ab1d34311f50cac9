"""A dataset of a few rows, prepared, in which every text and every fate is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from found_rows import prepare

from sftdata.view.dataset import Dataset, open_dataset


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """The folder of the dataset."""
    return prepare(tmp_path_factory.mktemp("found"), tiny_tokenizer)


@pytest.fixture
def ds(prepared: Path) -> Dataset:
    return open_dataset(prepared)
