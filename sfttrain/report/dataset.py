"""What run.json says of the dataset: its name, funnel and splits, so that a page needs only the folder of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sftdata.files.copies import name_of
from sftdata.store.manifest import Counts
from sfttrain.data import Shards


def describe_dataset(shards: Shards) -> dict[str, Any]:
    """The entry `dataset` of run.json, from a manifest."""
    manifest = shards.manifest
    return {
        "name": name_of(shards.path),
        "hash": manifest.dataset_hash,
        "seq_len": manifest.seq_len,
        "tokenizer": manifest.tokenizer.sha256,
        "template": manifest.template.sha256 if manifest.template is not None else None,
        "counts": manifest.counts.model_dump(mode="json"),
        "splits": {
            name: {
                "samples": one.samples,
                "sequences": one.rows,
                "tokens": one.tokens,
                "trained_tokens": one.trained_tokens,
            }
            for name, one in manifest.splits.items()
        },
    }


def counts_of(dataset: Mapping[str, Any]) -> Counts | None:
    """The funnel in such an entry; None where it has none."""
    try:
        return Counts.model_validate(dataset["counts"])
    except (KeyError, ValidationError):
        return None
