"""A finished run of full training is `finished`; here is one of an adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

import sfttrain


@pytest.fixture(scope="session")
def adapter(shards: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> sfttrain.Result:
    """Two steps of an adapter."""
    config = {
        "shards": str(shards),
        "model": str(tiny_model),
        "out": str(tmp_path_factory.mktemp("adapter") / "out"),
        "batch_tokens": 256,
        "max_steps": 2,
        "learning_rate": 1e-2,
        "dtype": "float32",
        "lora": {"r": 4},
    }
    return sfttrain.run(config)
