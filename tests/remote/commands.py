"""The command line in processes of its own, with sources, work and dataset on S3 behind a door that fails."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import s3_server as s3
from processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
# Many small units, which a pool is used for.
PROGRAM = (
    "from sftdata.cli.app import main; from sftdata.pipeline import read; read.UNIT_BYTES = 700; read.SMALL_BYTES = 0; "
    "main()"
)
STOPPED = "sftdata: stopped; no dataset was written, run the same command again to continue"
SOON_S = 240  # within which comes what a test waits for
PROGRESS = re.compile(
    r"\w+: [\d,]+ (of [\d,]+ )?rows|\w+ [\d,]+ (row|sample|sequence|shard)|Ray: |node |"
    r"\w+: ([\d,]+ of [\d,]+ parts? )?done by an earlier run"
)


class Commands:
    """Runs of `sftdata prepare` from a folder of a bucket, with an engine, and with variables that say how patient its
    client is.
    """

    def __init__(
        self,
        door: s3.Door,
        folder: Path,
        tokenizer: Path,
        bucket: str,
        *where: str,
        variables: Mapping[str, str] = s3.QUICK,
    ) -> None:
        self.door, self.bucket = door, bucket
        self._folder = folder
        self._arguments = ["prepare", f"s3://{bucket}/raw", "--tokenizer", str(tokenizer), *where]
        self._arguments += ["pack.seq_len=64", "out.shard_tokens=500", f"out.work=s3://{bucket}/work"]
        kept = {name: value for name, value in os.environ.items() if "--ray-address" in where or name[:4] != "RAY_"}
        self._environment = {**kept, **s3.variables(door.address, folder), **variables}
        self._environment |= {"PYTHONPATH": str(ROOT), "SFTDATA_CACHE": str(folder / "cache")}

    def start(self, out: str = "out", *more: str) -> subprocess.Popen[str]:
        """Start in a process group of its own, as a terminal does: with Ctrl-C heard."""
        return subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, *self._arguments, *more, "--out", f"s3://{self.bucket}/{out}"],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, out: str = "out", *more: str) -> subprocess.CompletedProcess[str]:
        process = self.start(out, *more)
        output, said = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output, said)

    def start_until_it_hangs(self, text: str) -> subprocess.Popen[str]:
        """A run, once it has started to write an object whose name has this text, which the store lets hang."""
        self.door.fail(s3.Fault("PUT", text, "hangs"))
        process = self.start()
        wait_until(lambda: bool(self.door.failed) or process.poll() is not None, SOON_S)
        assert process.poll() is None, process.communicate()
        return process


def bucket_with(server: str, bucket: str, rows: Sequence[Mapping[str, str]]) -> Any:
    """A client for the store, which has a new bucket with these rows in four files."""
    import s3fs

    store = s3fs.S3FileSystem(key=s3.ACCESS_KEY, secret=s3.SECRET, endpoint_url=server, skip_instance_cache=True)
    store.mkdir(bucket)
    size = len(rows) // 4
    for number in range(4):
        lines = "".join(json.dumps(row) + "\n" for row in rows[number * size : number * size + size])
        store.pipe_file(f"{bucket}/raw/{number}.jsonl", lines.encode())
    return store


def messages(said: str) -> list[str]:
    """What a run has written to stderr, without its progress."""
    return [line for line in said.splitlines() if not PROGRESS.match(line)]


def objects(store: Any, folder: str) -> dict[str, bytes]:
    """The files below a folder on a store, by their names in it."""
    store.invalidate_cache()
    return {path[len(folder) + 1 :]: store.cat_file(path) for path in store.find(folder)}
