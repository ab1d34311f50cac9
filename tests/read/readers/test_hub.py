"""With the datasets library itself, and a local folder in place of the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import plan_units, read_raw


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local dataset with the name `ORG/chats`; the hub is offline for other names."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "chats"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"tools": [{"x": 1}]}\n{broken\n{"tools": [{"y": "1"}]}\n')
    (folder / "test.jsonl").write_text('{"tools": []}\n')
    real = datasets.load_dataset_builder

    def load(name: str, *args: object, **kwargs: object) -> object:
        kwargs["cache_dir"] = str(tmp_path / "cache")
        return real(str(folder) if name == "ORG/chats" else name, *args, **kwargs)

    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    return folder


@pytest.mark.parametrize("path", ["hf://datasets/ORG/chats", "hf://datasets/ORG/chats/", "ORG/chats"])
def test_files_of_a_split_keep_their_keys_and_broken_lines(hub, path):
    (unit,) = plan_units([SourceConfig(path=path)])
    assert (unit.name, unit.kind) == ("train.jsonl", "jsonl")
    rows = [(row.line, row.value, row.drop.reason if row.drop else None) for row in read_raw(unit)]
    assert rows == [(1, {"tools": [{"x": 1}]}, None), (2, None, "bad_json"), (3, {"tools": [{"y": "1"}]}, None)]


def test_another_split_can_be_read(hub):
    (unit,) = plan_units([SourceConfig(path="ORG/chats", split="test")])
    assert unit.name == "test.jsonl"


def test_an_unknown_split_or_subset_is_an_error_that_lists_the_known_ones(hub):
    with pytest.raises(SourceError, match=r"has no split dev; set split to one that it has: train, test"):
        plan_units([SourceConfig(path="ORG/chats", split="dev")])
    with pytest.raises(SourceError, match=r"BuilderConfig 'other' not found"):
        plan_units([SourceConfig(path="ORG/chats", subset="other")])


def test_a_name_found_neither_locally_nor_on_the_hub_is_an_error_that_says_so(hub):
    missing = "no-org/nothing: is neither a local file or folder nor in the cache of the hub, and HF_HUB_OFFLINE is set"
    with pytest.raises(SourceError, match=missing):
        plan_units([SourceConfig(path="no-org/nothing")])
