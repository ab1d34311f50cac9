"""Against the datasets library itself, with a folder where the network would be."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import plan_units, read_raw


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset that `ORG/chats` stands for; other names reach a hub that is offline."""
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
def test_the_files_of_a_split_are_read_with_their_own_keys_and_broken_lines(hub, path):
    (unit,) = plan_units([SourceConfig(path=path)])
    assert (unit.name, unit.kind) == ("train.jsonl", "jsonl")
    rows = [(row.line, row.value, row.drop.reason if row.drop else None) for row in read_raw(unit)]
    assert rows == [(1, {"tools": [{"x": 1}]}, None), (2, None, "bad_json"), (3, {"tools": [{"y": "1"}]}, None)]


def test_another_split_is_read_when_asked_for(hub):
    (unit,) = plan_units([SourceConfig(path="ORG/chats", split="test")])
    assert unit.name == "test.jsonl"


def test_a_split_or_subset_that_is_not_there_is_an_error_with_those_that_are(hub):
    with pytest.raises(SourceError, match=r"has no split dev; set split to one that it has: train, test"):
        plan_units([SourceConfig(path="ORG/chats", split="dev")])
    with pytest.raises(SourceError, match=r"BuilderConfig 'other' not found"):
        plan_units([SourceConfig(path="ORG/chats", subset="other")])


def test_a_name_that_is_neither_here_nor_on_the_hub_is_an_error_that_says_both(hub):
    with pytest.raises(
        SourceError, match=r"cannot be opened as a dataset of the hub .* no such local file or folder either"
    ):
        plan_units([SourceConfig(path="nobody/nothing")])
