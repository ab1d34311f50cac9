"""A dataset as the datasets library has it: its shards memory-mapped, each split a Dataset of packed sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftdata.errors import DatasetError

if TYPE_CHECKING:
    from sftdata.view.dataset import Dataset


def dataset_dict(dataset: Dataset) -> Any:
    """A datasets.DatasetDict. Raises DatasetError if the library is not installed, or a shard is damaged."""
    try:
        import datasets
    except ImportError as error:
        what = f"needs the datasets library, which cannot be imported ({error})"
        raise DatasetError("to_datasets", what, "pip install datasets") from error
    splits: dict[str, list[Any]] = {}
    for number, shard in enumerate(dataset.shards):
        dataset.shard_table(number)  # checked before the library looks at it
        splits.setdefault(shard.split, []).append(datasets.Dataset.from_file(str(dataset.path / shard.path)))
    named = {
        name: datasets.concatenate_datasets(parts, split=datasets.NamedSplit(name)) for name, parts in splits.items()
    }
    return datasets.DatasetDict(named)
