"""Training on shards of a store: the losses and weights of the same shards in a folder, and what is fetched."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from faulty_store import FaultyStore
from run_metrics import losses

import sfttrain
from sftdata.errors import ConfigError, DatasetError
from sfttrain.check.everything import check
from sfttrain.config import parse_config
from sfttrain.data import open_shards
from sfttrain.evaluate.beside.compare import compare
from sfttrain.export.source import Source, trained_ends
from sfttrain.find_lr.sweep import find_rate

Settings = Callable[..., dict[str, Any]]
SHARDS = [f"train/{number:05}-of-00005.arrow" for number in range(4)]
VALIDATION = "validation/00004-of-00005.arrow"
ADDRESS = "s3://bucket/data"


@pytest.fixture(scope="module")
def folder(make_shards: Callable[..., Path], samples_of: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 270 sequences, more than the check before step 0 looks at, of three times 90, and of 40 to validate."""
    groups = [samples_of(count, seed=count + number) for number, count in enumerate((270, 90, 90, 90, 40))]
    return make_shards(tmp_path_factory.mktemp("of_a_store") / "data", groups, strategy="none", held_out=1)


class Sent:
    """The store with the dataset, what it has sent of the shards, and the most bytes of copies while it did."""

    def __init__(self, server: FaultyStore, folder: Path, cache: Path) -> None:
        self.cache, self.files = cache, server.files
        self.sizes: dict[str, int] = {}
        self.ranges: list[tuple[str, int, int]] = []
        self.most_held = 0
        for path in folder.rglob("*"):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                server.files[f"/bucket/data/{name}"] = path.read_bytes()
                self.sizes[name] = path.stat().st_size
        server.on_sent = self._note

    def _note(self, path: str, first: int, count: int) -> None:
        name = path.removeprefix("/bucket/data/")
        if name.endswith(".arrow"):
            self.ranges.append((name, first, count))
            held = 0
            for one in self.cache.glob("datasets/*/*/*"):
                with suppress(FileNotFoundError):  # another one was just finished, and has its name now
                    held += one.stat().st_size if ".arrow" in one.name else 0
            self.most_held = max(self.most_held, held)

    def whole(self, *names: str) -> list[tuple[str, int, int]]:
        """What is sent when each of these is, once and from its first byte to its last."""
        return [(name, 0, self.sizes[name]) for name in sorted(names)]


@pytest.fixture
def sent(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    s3fs = pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    s3fs.S3FileSystem.clear_instance_cache()
    with FaultyStore() as server:
        for name, value in (
            ("AWS_ENDPOINT_URL", server.address),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEOFTESTS00"),
            ("AWS_SECRET_ACCESS_KEY", "dummy-secret-of-the-tests"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", str(tmp_path / "no-config")),
            ("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials")),
            ("NO_PROXY", "127.0.0.1"),
            ("SFTDATA_CACHE", str(tmp_path / "cache")),
        ):
            monkeypatch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "SFTDATA_CACHE_GB"):
            monkeypatch.delenv(name, raising=False)
        yield Sent(server, folder, tmp_path / "cache")
    s3fs.S3FileSystem.clear_instance_cache()


def gigabytes(size: int) -> str:
    """A number of bytes as SFTDATA_CACHE_GB takes it, exactly."""
    return f"{size // 10**9}.{size % 10**9:09}"


def epoch(settings: Settings, shards: object, out: Path, **changes: Any) -> dict[str, Any]:
    """Settings of one epoch of 20 steps of 27 sequences: three in a forward pass, nine times."""
    batch = {"batch_tokens": 512, "trainer": {"per_device_train_batch_size": 3, **changes.pop("trainer", {})}}
    return settings(shards=str(shards), out=str(out), max_steps=None, epochs=1, **batch, **changes)


def weights(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def local(folder: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one epoch on the folder."""
    out = tmp_path_factory.mktemp("local") / "out"
    fixed = {"model": str(tiny_model), "learning_rate": 1e-2, "dtype": "float32"}
    return sfttrain.run(epoch(lambda **changes: {**fixed, **changes}, folder, out)).out


@pytest.mark.parametrize(("is_bounded", "workers"), [(False, 0), (True, 0), (True, 1)])
def test_one_process_fetches_each_shard_once_and_learns_what_it_learns_from_a_folder(
    sent: Sent, local: Path, settings: Settings, tmp_path: Path, monkeypatch: Any, is_bounded: bool, workers: int
) -> None:
    most = sum(sent.sizes[name] for name in (*SHARDS, VALIDATION))
    if is_bounded:  # the largest two shards, and the one for validation
        most = sum(sorted(sent.sizes[name] for name in SHARDS)[-2:]) + sent.sizes[VALIDATION]
        monkeypatch.setenv("SFTDATA_CACHE_GB", gigabytes(most))
    trainer = {"dataloader_num_workers": workers}
    found = sfttrain.run(epoch(settings, ADDRESS, tmp_path / "out", trainer=trainer)).out
    assert losses(found) == losses(local)
    assert len(losses(found)) == 20
    assert weights(found) == weights(local)
    assert sorted(sent.ranges) == sent.whole(*SHARDS, VALIDATION)
    assert sent.most_held <= most


def test_two_processes_of_a_machine_share_each_shard(
    sent: Sent, folder: Path, settings: Settings, tmp_path: Path, torchrun: list[str], monkeypatch: Any
) -> None:
    """Also where the cache holds two shards beside the one for validation."""
    two = sum(sorted(sent.sizes[name] for name in SHARDS)[-2:]) + sent.sizes[VALIDATION]
    found = {}
    for name, shards, most in (("local", folder, None), ("all", ADDRESS, 10**9), ("two", ADDRESS, two)):
        sent.ranges.clear()
        sent.most_held = 0
        monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / name))
        sent.cache = tmp_path / name
        if most is not None:
            monkeypatch.setenv("SFTDATA_CACHE_GB", gigabytes(most))
        (tmp_path / "train.yaml").write_text(json.dumps(epoch(settings, shards, tmp_path / f"out-{name}")))
        command = [*torchrun, "-m", "sfttrain", "run", str(tmp_path / "train.yaml")]
        quiet = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, capture_output=True, text=True, env=quiet, timeout=240)
        assert done.returncode == 0, done.stderr
        assert sorted(sent.ranges) == ([] if most is None else sent.whole(*SHARDS, VALIDATION))
        assert sent.most_held <= (most or 0)
        found[name] = (losses(tmp_path / f"out-{name}"), weights(tmp_path / f"out-{name}"))
    assert found["all"] == found["two"] == found["local"]
    assert len(found["local"][0]) == 18  # of 30 sequences: of each process three, five times


def test_a_command_fetches_the_shards_that_it_reads(
    sent: Sent, settings: Settings, tiny_model: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    config = parse_config({**epoch(settings, ADDRESS, tmp_path / "out"), "epochs": None, "max_steps": 2})

    def read(name: str, command: Callable[[], Any]) -> list[tuple[str, int, int]]:
        sent.ranges.clear()
        monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / name))
        command()
        return sorted(sent.ranges)

    source = Source(tmp_path, {}, config, {}, open_shards(ADDRESS))
    assert read("run", lambda: sfttrain.run(config)) == sent.whole(SHARDS[0], VALIDATION)
    assert read("check", lambda: check(config)) == sent.whole(SHARDS[0])
    assert read("lr", lambda: find_rate(config, tmp_path / "lr", dry_run=True)) == sent.whole(SHARDS[0], VALIDATION)
    assert read("eval", lambda: compare(str(tiny_model), ADDRESS)) == sent.whole(VALIDATION)
    assert read("ends", lambda: trained_ends(source)) == sent.whole(SHARDS[0])


def test_a_damaged_shard_ends_the_run_before_a_byte_of_it_is_trained(
    sent: Sent, settings: Settings, tmp_path: Path
) -> None:
    path = f"/bucket/data/{SHARDS[2]}"
    data = sent.files[path]
    sent.files[path] = data[:-16] + bytes([data[-16] ^ 1]) + data[-15:]
    with pytest.raises(DatasetError, match=rf"{SHARDS[2]}: does not match its checksum in the manifest"):
        sfttrain.run(epoch(settings, ADDRESS, tmp_path / "out"))
    assert [step for step, _ in losses(tmp_path / "out")] == [*range(1, 14)]  # of 27: the first two shards have 360


def test_a_cache_that_is_too_small_is_refused_before_the_model_is_loaded(
    sent: Sent, settings: Settings, tmp_path: Path, monkeypatch: Any
) -> None:
    largest = max(sent.sizes[name] for name in SHARDS)
    monkeypatch.setenv("SFTDATA_CACHE_GB", gigabytes(largest + sent.sizes[VALIDATION] - 1))
    with pytest.raises(ConfigError, match=r"SFTDATA_CACHE_GB: lets the cache hold .*; let it hold more, with SFTDATA_"):
        sfttrain.run(epoch(settings, ADDRESS, tmp_path / "out"))
    assert sent.ranges == []
