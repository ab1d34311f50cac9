"""Files of a dataset that were changed anywhere, with right checksums: no reader ends its process or shows a traceback.

The readers run in another process, since what is tested for is that they do not end it.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crafting import LEDGER, TRAIN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import GOOD, READERS
from verification import write_manifest

PROGRAM = Path(__file__).resolve().parents[1] / "readers.py"
SHARD_COLUMNS = ("input_ids", "labels", "seq_lengths", "record_ids")
EXAMPLES = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class Readers:
    """A process that reads datasets."""

    def __init__(self, log: Path) -> None:
        self._log = log
        places = [str(Path(PROGRAM).parents[1]), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), "PYTHONFAULTHANDLER": "1"}
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=env,
            )

    def read(self, folder: Path) -> dict[str, str]:
        """What each reader says of a dataset. Fails if the process ends, by an exception or a signal."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            pytest.fail(f"the readers ended with {self._process.wait()}: {self._log.read_text()[-2000:]}")
        said: dict[str, str] = json.loads(answer)
        return said

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readers]:
    """The process for all tests of this file."""
    process = Readers(tmp_path_factory.mktemp("readers") / "errors.log")
    yield process
    process.close()


@pytest.fixture
def written(dataset: Any, tmp_path: Path) -> tuple[Any, Path]:
    """The good dataset, and a copy of it for each example to change."""
    return dataset, dataset.write(tmp_path / "good")


def check(readers: Readers, folder: Path) -> None:
    """Every reader reads the dataset, or says in one line what is wrong with a file of it."""
    for name, said in readers.read(folder).items():
        assert said == GOOD or (str(folder) in said and said.isprintable() and len(said) < 2000), (name, said)


def fresh(good: Path) -> Path:
    """A new copy of the good dataset."""
    folder = good.parent / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(good, folder))


CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),  # where in the file
        st.sampled_from(["flip", "set", "word", "cut", "insert"]),
        st.sampled_from([0, 1, 2, 16, 127, 128, 255]),
    ),
    min_size=1,
    max_size=4,
)


def changed(data: bytes, changes: list[tuple[float, str, int]]) -> bytes:
    """The bytes after some changes."""
    array = bytearray(data)
    for share, how, value in changes:
        at = int(share * len(array))
        if how == "flip":
            array[at] ^= value or 4
        elif how == "set":
            array[at] = value
        elif how == "word":
            array[at - at % 4 : at - at % 4 + 4] = bytes([255, 255, 255, value])
        elif how == "cut":
            del array[at : at + 1 + value]
        else:
            array[at:at] = bytes(value)
        if not array:
            return b""
    return bytes(array)


@EXAMPLES
@given(changes=CHANGES)
@pytest.mark.parametrize("path", [TRAIN, LEDGER, "manifest.json"])
def test_changed_bytes(readers: Readers, written: tuple[Any, Path], path: str, changes: Any) -> None:
    dataset, good = written
    folder = fresh(good)
    (folder / path).write_bytes(changed((folder / path).read_bytes(), changes))
    if path != "manifest.json":
        dataset.write_manifest(folder)
    check(readers, folder)


INTEGERS = st.sampled_from([0, 1, -1, -100, 3, 7, 31, 32, 2**31 - 1, -(2**31)])
LISTS = {
    "input_ids": st.lists(INTEGERS, max_size=40),
    "labels": st.lists(INTEGERS, max_size=40),
    "seq_lengths": st.lists(INTEGERS, max_size=6),
    "record_ids": st.lists(st.sampled_from(["aa", "bb", "", "\x1b[2J", None]), max_size=4),
}


@EXAMPLES
@given(data=st.data(), row=st.integers(0, 1), name=st.sampled_from(SHARD_COLUMNS))
def test_changed_columns_of_a_shard(
    readers: Readers, written: tuple[Any, Path], data: st.DataObject, row: int, name: str
) -> None:
    dataset, good = written
    other = copy.deepcopy(dataset)
    value = other.shards[TRAIN][row][name]
    if data.draw(st.booleans()):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(LISTS[name].filter(bool))[0]
    else:
        other.shards[TRAIN][row][name] = data.draw(LISTS[name])
    folder = fresh(good)
    other.write(folder)
    check(readers, folder)


TEXTS = st.sampled_from(
    ["", "aa", "train", "packed", "dropped", "bad_json", "chats.jsonl:1", "\x1b[2J", "{x}", "é" * 99]
)
PLACES = st.fixed_dictionaries({"shard": TEXTS | st.just(TRAIN) | st.none(), "row": INTEGERS, "index": INTEGERS})
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("source", "where", "record_id", "fate", "stage"), TEXTS),
    **dict.fromkeys(("reason", "detail", "duplicate_of", "split"), TEXTS),
    "similarity": st.floats(),
    "places": st.lists(PLACES | st.none(), max_size=3),
    "turns": st.lists(st.lists(INTEGERS | st.none(), max_size=3) | st.none(), max_size=3),
    "digests": st.lists(TEXTS | st.none(), max_size=3),
    "num_tokens": INTEGERS,
    "num_trained_tokens": INTEGERS,
}


@EXAMPLES
@given(data=st.data(), row=st.integers(0, 6))
def test_changed_fields_of_the_ledger(
    readers: Readers, written: tuple[Any, Path], data: st.DataObject, row: int
) -> None:
    dataset, good = written
    other = copy.deepcopy(dataset)
    for name in data.draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=2)):
        if name == "places" and isinstance(other.ledger[row]["digests"], str):
            other.ledger[row]["digests"] = [""]  # not computed: the places may be nowhere
        other.ledger[row][name] = data.draw(FIELDS[name] | st.none())
    folder = fresh(good)
    other.write(folder)
    check(readers, folder)


NUMBERS: list[Any] = [None, True, -1, 0, 1, 2**31, 2**63, 10**30, 0.5, -0.5, 1e300]
VALUES = st.sampled_from([*NUMBERS, "", "x", "../x", "\x1b[2J", "\ud800", [], {}, [[]], [{}], {"x": {}}])


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each object or list in a JSON value, with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places_of(value[key])


@EXAMPLES
@given(data=st.data())
def test_changed_fields_of_the_manifest(readers: Readers, written: tuple[Any, Path], data: st.DataObject) -> None:
    _, good = written
    folder = fresh(good)
    manifest = json.loads((folder / "manifest.json").read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        inner, key = data.draw(st.sampled_from(list(places_of(manifest))))
        if data.draw(st.booleans()):
            inner[key] = data.draw(VALUES)
        elif isinstance(inner, dict) and data.draw(st.booleans()):
            inner["new"] = inner.pop(key)
        else:
            del inner[key]
    write_manifest(folder, manifest)
    check(readers, folder)


def test_the_process_reads_a_good_dataset(readers: Readers, written: tuple[Any, Path]) -> None:
    assert readers.read(written[1]) == dict.fromkeys(READERS, GOOD)
