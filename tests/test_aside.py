"""The process beside the main one that loads the encoder: whatever is asked for, and whatever it foresees wrongly."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="there is such a process on Linux with two cores",
)
ROWS = 3000  # of more than a kilobyte: several units of reading


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data for several workers."""
    path = tmp_path_factory.mktemp("data") / "a.jsonl"
    with path.open("w") as file:
        for row in range(ROWS):
            said = [f"Question {row}? " + "word " * (row % 40), f"Answer {row}. " + "and so on " * 140]
            turns = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), said)]
            file.write(json.dumps({"messages": turns}) + "\n")
    assert path.stat().st_size > 2 * (2 << 20)
    return path


def run(out: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A run of the command line with two workers."""
    command = [sys.executable, "-m", "sftdata", "prepare", *map(str, arguments), "--out", str(out), "--workers", "2"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def prepare(out: Path, *arguments: object) -> dict[str, str]:
    """The shards that such a run makes, by their checksums."""
    done = run(out, *arguments)
    assert done.returncode == 0, done.stderr
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (out / "train").iterdir()}


def test_every_encoder_that_is_asked_for_gives_the_same_shards(
    data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    made = [
        prepare(tmp_path / encoder, data, "--tokenizer", tiny_tokenizer, "--encoder", encoder)
        for encoder in ("auto", "fast", "hf")
    ]
    assert made[0] == made[1] == made[2]
    said = [json.loads((tmp_path / encoder / "manifest.json").read_text())["encoding"] for encoder in ("auto", "hf")]
    assert [facts["encoder"] for facts in said] == ["fastokens", "tokenizers"]


def test_another_tokenizer_or_template_than_foreseen_is_the_one_that_is_used(
    data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_tokenizer, other)
    pipeline = json.loads((other / "tokenizer.json").read_text())
    pipeline["model"]["merges"] = pipeline["model"]["merges"][: len(pipeline["model"]["merges"]) // 2]
    (other / "tokenizer.json").write_text(json.dumps(pipeline))
    settings = tmp_path / "c.yaml"
    settings.write_text(json.dumps({"sources": [{"path": str(data)}], "tokenizer": str(tiny_tokenizer)}))
    right = prepare(tmp_path / "right", data, "--tokenizer", other)
    assert right != prepare(tmp_path / "first", settings)
    assert right == prepare(tmp_path / "second", settings, "--tokenizer", other)
    assert right == prepare(tmp_path / "third", f"tokenizer={other}", settings)


def test_what_cannot_be_loaded_is_said_in_one_sentence(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_tokenizer, broken)
    (broken / "tokenizer.json").write_text("{")
    for tokenizer, complaint in ((broken, "tokenizer.json cannot be read"), ("nowhere/at/all", "no such folder")):
        out = tmp_path / complaint
        done = run(out, data, "--tokenizer", tokenizer)
        assert done.returncode == 1
        assert complaint in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (out / "manifest.json").exists()


def test_a_program_that_wants_to_know_nothing_of_its_children_may_start_it(
    data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-m", "sftdata", "prepare", str(data), "dedup.near=on", "--workers", "2"]
    command += ["--tokenizer", str(tiny_tokenizer), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", ignoring, *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{ROWS:,} samples in" in done.stdout
