"""run.json: what a run records of itself."""

from __future__ import annotations

import json
from pathlib import Path

import sfttrain


def test_run_json_records_data_settings_versions_and_counts(finished: sfttrain.Result, shards: Path):
    summary = json.loads((finished.out / "run.json").read_text())
    manifest = json.loads((shards / "manifest.json").read_text())
    train = [shard for shard in manifest["shards"] if shard["split"] == "train"]
    assert summary["status"] == "finished"
    assert summary["dataset_hash"] == manifest["dataset_hash"]
    assert summary["config"]["learning_rate"] == 1e-2
    assert summary["versions"]["trl"] and summary["versions"]["torch"]
    assert summary["tokens"] == sum(shard["tokens"] for shard in train)
    assert summary["trained_tokens"] == sum(shard["trained_tokens"] for shard in train)
    assert summary["seconds"] > 0


def test_run_json_has_the_keys_that_readers_of_earlier_runs_know(finished: sfttrain.Result):
    assert list(json.loads((finished.out / "run.json").read_text())) == [
        "status",
        "dataset_hash",
        "rows_per_step",
        "seed",
        "sort",
        "config",
        "versions",
        "learning_rate",
        "device",
        "dtype",
        "attn_implementation",
        "world_size",
        "parameters",
        "trained_parameters",
        "resumed_from_step",
        "changes",
        "checks",
        "dataset",
        "preflight",
        "steps",
        "epochs",
        "losses",
        "validation",
        "tokens",
        "trained_tokens",
        "seconds",
        "best",
        "answers",
        "files",
    ]


def test_the_result_is_what_run_json_says(finished: sfttrain.Result):
    assert json.loads((finished.out / "run.json").read_text()) == json.loads(json.dumps(finished.summary))
