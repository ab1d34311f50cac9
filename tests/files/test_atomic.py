"""sftdata.files.atomic: whole or absent, also on a full disk, a read-only one, and after Ctrl-C."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sftdata.errors import OutputError
from sftdata.files.atomic import atomic_write, file_sha256, write_bytes

REPOSITORY = Path(__file__).resolve().parents[2]

# What a child process does: write a shard of 2 MB, a ledger and a file, each time saying what happened.
WRITERS = """
import sys
from pathlib import Path
import numpy as np, pyarrow as pa
from samples import SAMPLE_SCHEMA, build_shard
from sftdata.errors import OutputError
from sftdata.files.atomic import write_bytes
from sftdata.store.ledger import LEDGER_SCHEMA, LedgerWriter
from sftdata.store.shards import write_shard

out = Path(sys.argv[1])
ids = pa.array(np.arange(1000 * 256, dtype=np.int32))
tokens = pa.ListArray.from_arrays(pa.array(np.arange(0, 1001 * 256, 256, dtype=np.int32)), ids)
names = pa.array([str(n) for n in range(1000)])
samples = pa.table([names, pa.array(np.zeros(1000, np.int32)), tokens, tokens], schema=SAMPLE_SCHEMA)

def shard():
    write_shard(out / "train/0.arrow", build_shard(samples, 2048, "best_fit", 0))

def ledger():
    noise = np.random.default_rng(0).bytes(400_000).hex()
    row = dict.fromkeys(LEDGER_SCHEMA.names) | {"where": noise, "fate": "packed"}
    with LedgerWriter(out) as writer:
        writer.write(pa.Table.from_pylist([row], LEDGER_SCHEMA))

def plain():
    write_bytes(out / "file", bytes(400_000))

for write in (shard, ledger, plain):
    try:
        write()
        print("written")
    except OutputError as error:
        print(str(error).replace(str(out), "OUT"))
print(sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()))
"""


def run(prelude: str, out: Path, wrapper: tuple[str, ...] = ()) -> list[str]:
    """The lines that WRITERS print after the prelude."""
    code = textwrap.dedent(prelude) + WRITERS
    environment = {
        **os.environ,
        "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [*wrapper, sys.executable, "-c", code, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def mounted(options: str, out: Path) -> tuple[str, ...]:
    """A wrapper that runs a command with a small file system of its own at `out`; skips where that is not allowed."""
    out.mkdir()
    wrapper = ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o {options} none "$0" && exec "$@"', str(out))
    try:
        possible = subprocess.run([*wrapper, "true"], capture_output=True, timeout=60).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("this machine does not let a test mount a file system")
    return wrapper


def test_every_writer_says_that_the_disk_is_full_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    *said, left = run("", out, mounted("size=256k", out))
    full = "the disk is full; free some space or choose another output folder, then run again"
    assert said == [f"OUT/train/0.arrow: {full}", f"OUT/ledger/00000.parquet: {full}", f"OUT/file: {full}"]
    assert left == "[]"


def test_every_writer_says_that_the_file_system_is_read_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    *said, left = run("", out, mounted("size=256k,ro", out))
    read_only = "the file system is read-only; choose another output folder"
    assert said == [
        f"OUT/train/0.arrow: {read_only}",
        f"OUT/ledger/00000.parquet: {read_only}",
        f"OUT/file: {read_only}",
    ]
    assert left == "[]"


def test_every_writer_says_that_a_file_may_not_be_so_large_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    *said, left = run("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))", tmp_path)
    large = "the file would be larger than is allowed here; raise the limit (ulimit -f), or write elsewhere"
    assert said == [f"OUT/train/0.arrow: {large}", f"OUT/ledger/00000.parquet: {large}", f"OUT/file: {large}"]
    assert left == "[]"


def test_where_there_is_room_the_same_writers_write(tmp_path: Path) -> None:
    *said, left = run("", tmp_path)
    assert said == ["written"] * 3
    assert left == "['file', 'ledger/00000.parquet', 'train/0.arrow']"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the root user may write anywhere")
def test_a_folder_one_may_not_write_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="you may not write here"):
        write_bytes(tmp_path / "file", b"x")


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match=r"out/train/x: a (part of this path is a file|file stands)"):
        write_bytes(tmp_path / "out" / "train" / "x", b"x")
    with pytest.raises(OutputError, match="a file stands where a folder is to be made"):
        write_bytes(tmp_path / "out" / "x", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="a folder stands where a file is to be written"):
        write_bytes(tmp_path / "folder", b"x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "out"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, FileNotFoundError])
def test_whatever_ends_the_writing_leaves_the_old_file(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(fault), atomic_write(path) as sink:
        sink.write(b"new")
        raise fault
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_only_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    with atomic_write(path) as sink:
        sink.write(b"hello ")
        sink.write(memoryview(b"world"))
        assert not path.exists()
    assert path.read_bytes() == b"hello world"
    assert (sink.size_bytes, sink.sha256) == (11, hashlib.sha256(b"hello world").hexdigest())


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x")
    write_bytes(tmp_path / "file", b"x")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_checksum_is_that_of_the_whole_file(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()
