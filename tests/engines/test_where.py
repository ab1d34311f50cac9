"""Which launcher the settings choose, and settings that are refused before anything is done."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

from sftdata.engines.local import ProcessPool, ThisProcess
from sftdata.engines.ray import RayLauncher
from sftdata.engines.where import Where
from sftdata.errors import ConfigError


def no_versions() -> dict[str, str]:
    return {}


@pytest.mark.parametrize(("where", "kind"), [(Where(workers=1), ThisProcess), (Where("local", 2), ProcessPool)])
def test_the_local_engine_is_this_process_or_a_pool(
    tmp_path: Path, where: Where, kind: type[ThisProcess] | type[ProcessPool]
) -> None:
    with where.launcher(tmp_path, print, no_versions, False, ()) as launcher:
        assert isinstance(launcher, kind)


def test_ray_is_used_for_little_data_too() -> None:
    assert isinstance(Where("ray").launcher(Path("work"), print, no_versions, True, ()), RayLauncher)


@pytest.mark.parametrize(
    ("engine", "ray_address", "sentence"),
    [
        ("spark", None, "engine: must be local or ray (got 'spark'); local is the default"),
        ("", None, "engine: must be local or ray (got ''); local is the default"),
        ("local", "auto", "ray_address: is given, but the engine is local; add --engine ray (engine='ray')"),
    ],
)
def test_settings_that_are_refused(engine: str, ray_address: str | None, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Where(engine, None, ray_address)
    assert str(caught.value) == sentence


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        Where("ray")
    assert str(caught.value) == "engine: ray is not installed here; run `pip install 'sftdata[ray]'`"


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265", "head", "head:", ":6379", "head:port"])
def test_an_address_of_another_kind_is_refused(tmp_path: Path, address: str) -> None:
    sentence = (
        f"{address}: is not an address of a Ray cluster that tasks can be sent to; give HOST:PORT of the head, as "
        "`ray start --head` prints it, or auto on a machine of the cluster"
    )
    with (
        pytest.raises(ConfigError) as caught,
        Where("ray", None, address).launcher(tmp_path, print, no_versions, False, ()),
    ):
        pass
    assert str(caught.value) == sentence


def test_an_address_where_nothing_answers_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(ConfigError) as caught,
        Where("ray", None, address).launcher(tmp_path, print, no_versions, False, ()),
    ):
        pass
    said = str(caught.value)
    assert said.startswith(f"{address}: no Ray cluster can be reached there (")
    assert said.endswith("; start one with `ray start --head`, or leave the address out for Ray on this machine alone")
    assert list(tmp_path.iterdir()) == []
