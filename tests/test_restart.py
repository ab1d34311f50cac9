"""Runs that are killed, repeated with changes, or crossed by another: what is done again, and what comes out."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sftdata
from sftdata import pipeline
from sftdata.errors import OutputError, SourceError
from sftdata.read import stamps

ROOT = Path(__file__).resolve().parents[1]

# Runs `prepare` in children of a process that has everything imported, and kills a child (-9) at the n-th step of its
# that changes the file system. Says the steps that an undisturbed run takes.
ZYGOTE = textwrap.dedent(
    """
    import json, os, signal, sys
    import sftdata
    from sftdata import pipeline
    from sftdata.encode.record_encoder import RecordEncoder

    pipeline.UNIT_BYTES = 4000
    STEPS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "open", "shutil.rmtree"}

    def work(settings, kill_at, overwrite, steps):
        count = 0

        def hook(event, args):
            nonlocal count
            if event not in STEPS or (event == "open" and (not isinstance(args[0], str) or not args[2] & os.O_CREAT)):
                return
            if "/.work" not in str(args[0]) and settings["out"]["path"] not in str(args[0]):
                return
            count += 1
            if steps is not None:
                os.write(steps, f"{event} {args[0]} {args[1] if event == 'os.rename' else ''}\\n".encode())
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        sftdata.prepare(sftdata.parse_config(settings), workers=1, overwrite=overwrite)

    for line in sys.stdin:
        settings, kill_at, overwrite, steps = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(settings, kill_at, overwrite, None if steps is None else os.open(steps, os.O_WRONLY | os.O_CREAT))
                code = 0
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """
)


def chats(numbers: range) -> str:
    rows = ({"prompt": f"Question {n % 150}", "completion": "Because. " * (n % 9)} for n in numbers)
    return "".join(json.dumps(row) + "\n" for row in rows)


def settings_for(out: Path, tokenizer: Path, data: Path, **more: Any) -> dict[str, Any]:
    return {
        "tokenizer": str(tokenizer),
        "sources": [{"path": str(data), "keep": ["prompt"]}],
        "out": {"path": str(out), "shard_tokens": 2000},
        "pack": {"seq_len": 64},
        "split": {"validation": 0.1},
        **more,
    }


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.jsonl").write_text(chats(range(120)))
    (folder / "b.jsonl").write_text(chats(range(100, 200)))
    return folder


class Runner:
    """Asks the zygote for runs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def run(
        self, settings: dict[str, Any], kill_at: int = 0, *, overwrite: bool = False, steps: Path | None = None
    ) -> int:
        """The exit code of a run; -9 where it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([settings, kill_at, overwrite, steps and str(steps)]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.end()


def test_a_run_killed_at_any_step_is_gone_on_with_and_ends_in_the_same_bytes(
    runner: Runner, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "steps.txt"
    settings = settings_for(out, tiny_tokenizer, data)
    assert runner.run(settings, steps=log) == 0
    undisturbed = tree(out)
    sftdata.verify(out)
    steps = log.read_text().splitlines()
    last = max(at for at, step in enumerate(steps, 1) if step.startswith("os.rename") and "manifest.json" in step)
    published = [at for at, step in enumerate(steps, 1) if step.startswith("os.rename") and f"{out}/train/" in step]
    assert len(published) >= 2
    finished = next(at for at, step in enumerate(steps, 1) if step == f"os.remove {out}/.work/publishing.json ")
    # Between a shard and the manifest, before and after the manifest, while clearing up; and anywhere.
    chosen = {published[0], published[-1] + 1, last, last + 1, finished}
    chosen |= set(random.Random(5).sample(range(1, finished), 15))
    for kill_at in sorted(chosen):
        shutil.rmtree(out)
        assert runner.run(settings, kill_at) == -9, steps[kill_at - 1]
        if kill_at <= last:
            assert not (out / "manifest.json").exists(), steps[kill_at - 1]
        assert runner.run(settings) == 0, steps[kill_at - 1]
        assert tree(out) == undisturbed, steps[kill_at - 1]
    shutil.rmtree(out)
    assert runner.run(settings, finished + 1) == -9  # when all was done but taking away an empty folder
    sftdata.verify(out)


def test_a_run_killed_again_and_again_gets_to_the_end(
    runner: Runner, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "steps.txt"
    settings = settings_for(out, tiny_tokenizer, data)
    assert runner.run(settings, steps=log) == 0
    undisturbed = tree(out)
    shutil.rmtree(out)
    num_steps = len(log.read_text().splitlines())
    kills = 0
    while runner.run(settings, num_steps * 2 // 3) == -9:
        kills += 1
        assert kills < 20
    assert kills > 0
    assert tree(out) == undisturbed


def test_an_older_dataset_is_whole_until_the_new_one_is_and_never_half_of_both(
    runner: Runner, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "steps.txt"
    old = settings_for(out, tiny_tokenizer, data, split={"validation": 0}, seed=1)
    new = settings_for(out, tiny_tokenizer, data, seed=2)
    assert runner.run(new) == 0
    expected = tree(out)
    shutil.rmtree(out)
    assert runner.run(old) == 0
    before = tree(out)
    shutil.copytree(out, tmp_path / "before")
    assert runner.run(new) == 1  # it holds a dataset
    assert tree(out) == before
    assert runner.run(new, overwrite=True, steps=log) == 0
    assert tree(out) == expected
    steps = log.read_text().splitlines()
    gone = next(at for at, step in enumerate(steps, 1) if step == f"os.remove {out}/manifest.json ")
    last = max(at for at, step in enumerate(steps, 1) if step.startswith("os.rename") and "manifest.json" in step)
    assert gone + 5 < last
    for kill_at in (gone // 2, gone - 1, gone, gone + 1, gone + 3, (gone + last) // 2, last - 1, last):
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "before", out)
        assert runner.run(new, kill_at, overwrite=True) == -9
        if kill_at <= gone:
            assert {name: hash_ for name, hash_ in tree(out).items() if ".work" not in name} == before
        else:
            assert not (out / "manifest.json").exists()
        assert runner.run(new, overwrite=True) == 0, steps[kill_at - 1]
        assert tree(out) == expected, steps[kill_at - 1]


def test_files_of_which_nobody_knows_whose_they_are_stay(
    runner: Runner, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "out", tiny_tokenizer, data)
    assert runner.run(settings) == 0
    (tmp_path / "out" / "manifest.json").unlink()
    before = tree(tmp_path / "out")
    assert runner.run(settings) == 1
    assert tree(tmp_path / "out") == before


class Told:
    """Which stages did how many pieces, and what was taken over."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.notes: list[str] = []

    def start(self, stage: str, total: int) -> None:
        self.done[stage] = total

    def advance(self, rows: int, tokens: int) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "UNIT_BYTES", 4000)


def prepare(settings: dict[str, Any], **more: Any) -> Told:
    told = Told()
    sftdata.prepare(sftdata.parse_config(settings), workers=1, progress=told, keep_work=True, overwrite=True, **more)
    sftdata.verify(settings["out"]["path"])
    return told


@pytest.mark.usefixtures("small_units")
def test_only_what_depends_on_a_change_is_done_again(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = settings_for(out, tiny_tokenizer, data)
    first = prepare(settings)
    units = sum(-(-path.stat().st_size // 4000) for path in data.iterdir())
    assert (first.done["read"], first.done["encode"], first.notes) == (units, units, [])
    assert first.done["pack"] > 2

    again = prepare(settings)
    assert (again.done["read"], again.done["encode"], again.done["pack"]) == (0, 0, 0)
    assert again.done["write"] == first.done["write"]  # the shards have left the work folder
    assert again.notes == [
        f"{stage}: {pieces} of {pieces} pieces are there from an earlier run"
        for stage, pieces in {"read": units, "encode": units, "pack": first.done["pack"]}.items()
    ]

    repacked = prepare({**settings, "pack": {"seq_len": 128}})
    assert (repacked.done["read"], repacked.done["encode"]) == (0, 0)

    retrained = prepare({**settings, "template": "chatml"})
    assert (retrained.done["read"], retrained.done["encode"]) == (0, units)

    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    elsewhere = settings_for(out, tiny_tokenizer, moved, template="chatml")
    assert {stage: prepare(elsewhere).done[stage] for stage in ("read", "encode")} == {"read": 0, "encode": 0}

    started_over = prepare(elsewhere, fresh=True)
    assert (started_over.done["read"], started_over.done["encode"], started_over.notes) == (units, units, [])


@pytest.mark.usefixtures("small_units")
def test_one_byte_is_seen_though_size_and_time_are_the_same(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "out", tiny_tokenizer, data)
    prepare(settings)
    changed = data / "b.jsonl"
    before = changed.stat()
    text = changed.read_text()
    changed.write_text(text.replace("Question 5", "Question 9", 1))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (changed.stat().st_size, changed.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    told = prepare(settings)
    assert (told.done["read"], told.done["encode"]) == (1, 1)
    kept = tree(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    prepare(settings)
    assert {name: digest for name, digest in tree(tmp_path / "out").items() if ".work" not in name} == {
        name: digest for name, digest in kept.items() if ".work" not in name
    }


def test_work_is_kept_only_on_request(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "out", tiny_tokenizer, data)
    sftdata.prepare(sftdata.parse_config(settings), workers=1)
    assert not (tmp_path / "out" / ".work").exists()
    sftdata.prepare(sftdata.parse_config(settings), workers=1, overwrite=True, keep_work=True)
    assert sorted(path.name for path in (tmp_path / "out" / ".work").iterdir()) == ["lock", "pieces", "shards"]
    sftdata.verify(tmp_path / "out")


def test_a_second_run_into_the_same_folder_is_refused_while_the_first_lives(
    data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    (tmp_path / "out" / ".work").mkdir(parents=True)
    lock = tmp_path / "out" / ".work" / "lock"
    holder = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    config = sftdata.parse_config(settings_for(tmp_path / "out", tiny_tokenizer, data))
    with pytest.raises(OutputError, match="another run is writing into this folder"):
        sftdata.prepare(config, workers=1)
    assert lock.exists()
    process.kill()
    process.communicate()
    sftdata.prepare(config, workers=1)
    sftdata.verify(tmp_path / "out")


@pytest.mark.parametrize("how", ["rewritten", "appended to", "replaced", "gone"])
def test_a_source_that_changes_while_it_is_read_is_an_error_and_poisons_no_later_run(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = data / "b.jsonl"
    original = path.read_bytes()
    settings = settings_for(tmp_path / "out", tiny_tokenizer, data)
    prepare(settings)
    expected = tree(tmp_path / "out" / "train")
    shutil.rmtree(tmp_path / "out")
    check = stamps.unit_keys

    def meddle(units: Any, threads: int) -> list[str | None]:
        """After the checksums are taken and before the rows are read."""
        keys = check(units, threads)
        if how == "rewritten":
            path.write_bytes(original.replace(b"Because", b"BECAUSE"))
        elif how == "appended to":
            path.write_bytes(original + b'{"prompt": "New", "completion": "New"}\n')
        elif how == "replaced":
            (tmp_path / "new").write_bytes(original.replace(b"Because", b"BECAUSE"))
            (tmp_path / "new").replace(path)
        else:
            path.unlink()
        return keys

    with monkeypatch.context() as patch:
        patch.setattr("sftdata.read.stage.unit_keys", meddle)
        with pytest.raises(SourceError, match="cannot be read" if how == "gone" else "changed while it was being read"):
            sftdata.prepare(sftdata.parse_config(settings), workers=1)
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == [".work"]
    path.write_bytes(original)
    prepare(settings)
    assert tree(tmp_path / "out" / "train") == expected


def test_sources_on_a_remote_store_are_read_again_and_encoded_only_where_they_changed(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe("/restart/a.jsonl", chats(range(20)).encode())
    settings = settings_for(tmp_path / "out", tiny_tokenizer, Path("x"))
    settings["sources"] = ["memory://restart/a.jsonl"]
    assert prepare(settings).done["encode"] == 1
    again = prepare(settings).done
    assert (again["read"], again["encode"]) == (1, 0)
    store.pipe("/restart/a.jsonl", chats(range(21)).encode())
    assert prepare(settings).done["encode"] == 1
