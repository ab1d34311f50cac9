"""sftdata.files.atomic: files are complete or absent, also on a full or read-only disk, and after Ctrl-C."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sftdata.errors import OutputError
from sftdata.files.atomic import atomic_write, file_sha256, make_zeros, write_bytes

REPOSITORY = Path(__file__).resolve().parents[2]

# Run in a child process: write a shard of 2 MB, a ledger and a plain file, and print what happened to each.
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
    """The lines that WRITERS prints after running `prelude`."""
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
    """A command prefix that mounts a small file system at `out`. Skips the test if that is not permitted."""
    out.mkdir()
    wrapper = ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o {options} none "$0" && exec "$@"', str(out))
    try:
        possible = subprocess.run([*wrapper, "true"], capture_output=True, timeout=60).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("mounting a file system is not permitted here")
    return wrapper


def test_every_writer_reports_a_full_disk_and_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    *messages, files = run("", out, mounted("size=256k", out))
    full = "the disk is full; free some space or choose another output folder, then run again"
    assert messages == [f"OUT/train/0.arrow: {full}", f"OUT/ledger/00000.parquet: {full}", f"OUT/file: {full}"]
    assert files == "[]"


def test_every_writer_reports_a_read_only_file_system(tmp_path: Path) -> None:
    out = tmp_path / "out"
    *messages, files = run("", out, mounted("size=256k,ro", out))
    read_only = "the file system is read-only; choose another output folder"
    assert messages == [
        f"OUT/train/0.arrow: {read_only}",
        f"OUT/ledger/00000.parquet: {read_only}",
        f"OUT/file: {read_only}",
    ]
    assert files == "[]"


def test_every_writer_reports_the_file_size_limit_and_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    *messages, files = run("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))", tmp_path)
    large = "the file would exceed the file size limit; raise it (ulimit -f), or choose another output folder"
    assert messages == [f"OUT/train/0.arrow: {large}", f"OUT/ledger/00000.parquet: {large}", f"OUT/file: {large}"]
    assert files == "[]"


def test_the_same_writers_succeed_when_there_is_room(tmp_path: Path) -> None:
    *messages, files = run("", tmp_path)
    assert messages == ["written"] * 3
    assert files == "['file', 'ledger/00000.parquet', 'train/0.arrow']"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can write anywhere")
def test_a_folder_without_write_permission_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        write_bytes(tmp_path / "file", b"x")


def test_a_file_in_place_of_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match=r"out/train/x: a (part of this path is a file|file with the name)"):
        write_bytes(tmp_path / "out" / "train" / "x", b"x")
    with pytest.raises(OutputError, match="a file with the name of the output folder exists"):
        write_bytes(tmp_path / "out" / "x", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="a folder with the name of the output file exists"):
        write_bytes(tmp_path / "folder", b"x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "out"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, FileNotFoundError])
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(fault), atomic_write(path) as sink:
        sink.write(b"new")
        raise fault
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    with atomic_write(path) as sink:
        sink.write(b"hello ")
        sink.write(memoryview(b"world"))
        assert not path.exists()
    assert path.read_bytes() == b"hello world"
    assert (sink.size_bytes, sink.sha256) == (11, hashlib.sha256(b"hello world").hexdigest())


def test_a_new_file_has_the_default_permissions(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x")
    write_bytes(tmp_path / "file", b"x")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_file_sha256_is_the_checksum_of_the_whole_file(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system gives files no room ahead")
def test_a_file_that_is_to_be_mapped_has_its_room_on_the_disk_or_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    make_zeros(tmp_path / "keys", 1 << 20)
    assert (tmp_path / "keys").read_bytes() == bytes(1 << 20)
    assert (tmp_path / "keys").stat().st_blocks * 512 >= 1 << 20
    make_zeros(tmp_path / "none", 0)
    assert (tmp_path / "none").read_bytes() == b""
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="more keys: the disk is full"):
        make_zeros(tmp_path / "more keys", 1 << 20)
