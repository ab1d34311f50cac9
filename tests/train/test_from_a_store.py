"""Training on shards of a store: the losses of the same shards in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

import sfttrain


def test_shards_of_a_store_that_do_not_fit_into_the_cache_give_the_losses_of_a_folder(
    shards: Path,
    finished: sfttrain.Result,
    settings: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = f"memory://{tmp_path.name}/data"
    store = fsspec.filesystem("memory")
    for path in shards.rglob("*"):
        if path.is_file():
            store.pipe_file(f"{address}/{path.relative_to(shards).as_posix()}", path.read_bytes())
    monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / "cache"))
    sizes = [path.stat().st_size for path in shards.glob("*/*.arrow")]
    monkeypatch.setattr("sftdata.remote.mirror.limit_bytes", lambda: sum(sizes) - 1)
    found = sfttrain.run(settings(shards=address, max_steps=None, eval_every=2))  # as `finished`, for one epoch
    assert found.summary["losses"] == finished.summary["losses"]
    assert found.summary["dataset"] == {**finished.summary["dataset"], "name": "data"}
    assert 0 < len([*(tmp_path / "cache" / "datasets").glob("*/*/*.arrow")]) < len(sizes)
