"""What a program gets back: a dataset, an audit, settings and a manifest, each readable at a glance; and the names."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import call
from raw_rows import chat, write_lines

import sftdata
from sftdata.library.shown_progress import shown_progress
from sftdata.progress import NoProgress, ProgressLines

ROWS = [chat("Hi", "Ho"), chat("Hi", "Ho"), chat("2+2?", "4<|endoftext|>"), {"prompt": "Why?", "completion": ""}]


@pytest.fixture
def ds(tiny_tokenizer: Path, tmp_path: Path) -> sftdata.Dataset:
    return sftdata.prepare(ROWS, name="mine", tokenizer=tiny_tokenizer, out=tmp_path / "out", progress=False)


def test_prepare_returns_the_opened_dataset(ds: sftdata.Dataset, tmp_path: Path) -> None:
    again = sftdata.open(tmp_path / "out")
    assert isinstance(ds, sftdata.Dataset)
    assert ds.manifest == again.manifest
    assert (len(ds), ds.path) == (len(again), tmp_path / "out")
    assert ds.manifest.counts.dropped == {"dedup": {"duplicate": 1}, "validate": {"empty_answer": 1}}
    assert ds.manifest.counts.examples == {"duplicate": "mine:2", "empty_answer": "mine:4"}
    assert "mine: 4 rows given in Python, which are in no file" in str(ds.summary())


def test_a_dataset_is_replaced_only_if_that_is_asked_for(
    ds: sftdata.Dataset, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"tokenizer": tiny_tokenizer, "out": tmp_path / "out", "progress": False}
    with pytest.raises(sftdata.OutputError, match="holds a dataset already"):
        sftdata.prepare(ROWS, **settings)
    assert sftdata.prepare(ROWS[:1], overwrite=True, **settings).manifest.counts.rows_read == 1


def test_the_rows_are_in_the_work_folder_while_they_are_read_and_gone_at_the_end(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    class Seen(NoProgress):
        names: tuple[str, ...] = ()
        notes: tuple[str, ...] = ()

        def start(self, stage: str, total: int, rows: int = 0) -> None:
            self.names += tuple(path.name for path in (tmp_path / "out" / ".work" / "rows").glob("*"))

        def note(self, text: str) -> None:
            self.notes += (text,)

    seen = Seen()
    settings: dict[str, Any] = {"tokenizer": tiny_tokenizer, "out": tmp_path / "out", "progress": seen}
    sftdata.prepare(ROWS, keep_work=True, **settings)
    (name,) = set(seen.names)
    assert len(name) == 64 + len(".jsonl") and name.endswith(".jsonl")
    assert (tmp_path / "out" / ".work" / "pieces").is_dir()
    assert not (tmp_path / "out" / ".work" / "rows").exists()
    sftdata.prepare(ROWS, overwrite=True, **settings)
    assert any("earlier run" in note for note in seen.notes)


def test_check_says_what_is_wrong_and_what_handles_it(tiny_tokenizer: Path, tmp_path: Path) -> None:
    found = sftdata.check(ROWS, name="mine", progress=False)
    assert (found.rows, found["duplicate"].rows, found["near_duplicate"].rows) == (4, 1, 0)
    assert found["trailing_control"].examples[0].where == "mine:3"
    assert found["trailing_control"].examples[0].text == "message 2: ends in '<|endoftext|>'"
    with pytest.raises(KeyError):
        found["no such finding"]
    assert found.recommended == {"dedup": {"exact": True}, "clean": {"strip_trailing_control": True}}
    assert found.to_dict()["findings"][0]["kind"] == "empty_answer"
    assert found.to_dict().keys() == {
        *("schema_version", "rows", "rows_with_findings", "evaluation_items", "sources", "findings", "notes"),
    }
    assert repr(found).startswith("4 rows, 3 with findings")
    assert found._repr_html_().startswith("<style>") and "mine:3" in found._repr_html_()
    ds = sftdata.prepare(ROWS, tokenizer=tiny_tokenizer, out=tmp_path / "out", progress=False, **found.recommended)
    assert ds.manifest.encoding is not None and ds.manifest.encoding.stripped_answers == 1


def test_check_recommends_settings_of_the_source_and_compares_with_evaluation_rows(tmp_path: Path) -> None:
    rows: list[Any] = [chat("Hi", "Ho"), chat("Which river runs through Vienna and Budapest, please?", "The Danube.")]
    rows += [
        {"messages": [{"role": "customer", "content": f"{n}?"}, {"role": "agent", "content": f"{n}."}]}
        for n in range(3)
    ]
    exam = write_lines(tmp_path / "exam.jsonl", [{"q": rows[1]["messages"][0]["content"], "a": "The Danube."}])
    columns = {"prompt": "q", "completion": "a"}
    found = sftdata.check(rows, against={"path": str(exam), "columns": columns}, progress=False)
    assert found.recommended["roles"] == {"customer": "user", "agent": "assistant"}
    assert found["contaminated"].rows == 1
    assert sftdata.check(rows, progress=False, **found.recommended)["unknown_role"].rows == 0


@pytest.mark.parametrize("data", ["a.jsonl", {"path": "a.jsonl", "columns": {"prompt": "q"}}])
def test_settings_have_a_short_repr_and_are_written_as_a_file(data: Any, tmp_path: Path) -> None:
    given = {"tokenizer": "tok", "sources": [data], "out": Path("o"), "filters": {"preset": "strict", "echo": False}}
    config = sftdata.Config.from_dict({**given, "pack": {"seq_len": 64}, "dedup": {"near": {"threshold": 0.7}}})
    (tmp_path / "a.yaml").write_text(config.to_yaml())
    assert sftdata.Config.from_yaml(tmp_path / "a.yaml").model_dump() == config.model_dump()
    assert yaml.safe_load(config.to_yaml()) == {
        "tokenizer": "tok",
        "sources": [data if isinstance(data, dict) else {"path": data}],
        "out": {"path": "o"},
        "filters": {"preset": "strict", "echo": False},
        "pack": {"seq_len": 64},
        "dedup": {"near": {"threshold": 0.7}},
    }
    assert repr(config) == (
        f"Config(tokenizer='tok', sources=[{data!r}], out='o', filters={{'preset': 'strict', 'echo': False}}, "
        "dedup={'near': {'threshold': 0.7}}, pack={'seq_len': 64})"
    )


def test_rows_have_no_place_in_a_settings_file_and_are_counted_in_a_repr() -> None:
    given = {"tokenizer": "t", "sources": [{"rows": ROWS, "name": "mine"}, ROWS[:1], "a"], "out": "o"}
    config = sftdata.Config.from_dict(given)
    assert repr(config) == (
        "Config(tokenizer='t', sources=[{'rows': <4 rows: list>, 'name': 'mine'}, <1 row: list>, 'a'], out='o')"
    )
    with pytest.raises(sftdata.ConfigError, match="sources: mine: holds rows that were given in Python"):
        config.to_yaml()


def test_no_password_is_in_a_repr_or_a_file() -> None:
    address = "https://user:secret@host.org/a.jsonl"
    config = sftdata.Config.from_dict({"tokenizer": "t", "sources": [address], "out": "o"})
    assert "secret" not in repr(config) + str(config) + config.to_yaml()
    assert "host.org/a.jsonl" in repr(config)


def test_a_manifest_and_a_summary_are_readable_at_a_glance(ds: sftdata.Dataset) -> None:
    hash_ = ds.manifest.dataset_hash[:12]
    tokens, trained = (
        sum(getattr(shard, name) for shard in ds.manifest.shards) for name in ("tokens", "trained_tokens")
    )
    size = f"1 shard, {tokens} tokens, {trained} trained"
    assert repr(ds.manifest) == f"<Manifest: 4 rows read, 2 packed, 2 dropped; {size}; dataset hash {hash_}>"
    assert repr(ds.summary()) == str(ds.summary())
    assert "rows read" in repr(ds.summary()) and "Summary(" not in repr(ds.summary())


def test_dir_lists_the_public_names_and_each_is_there() -> None:
    assert dir(sftdata) == [
        *("Audit", "Config", "ConfigError", "Dataset", "DatasetError", "Manifest", "OutputError", "Progress", "Row"),
        *("Sample", "SftDataError", "SourceConfig", "SourceError", "TemplateError", "TokenizerError", "WorkerError"),
        *("__version__", "check", "open", "prepare", "tools_as_text", "verify"),
    ]
    assert all(getattr(sftdata, name) is not None for name in dir(sftdata))
    with pytest.raises(AttributeError, match="no attribute 'prepair'"):
        sftdata.prepair  # noqa: B018


def test_progress_goes_where_the_program_runs_or_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for nothing in (False, None):
        with shown_progress(nothing) as shown:
            assert isinstance(shown, NoProgress)
    with shown_progress("auto") as shown:
        assert isinstance(shown, ProgressLines)
    monkeypatch.setattr(sys, "stderr", None)
    with shown_progress("auto") as shown:
        assert isinstance(shown, NoProgress)
    own = NoProgress()
    with shown_progress(own) as shown:
        assert shown is own
    with pytest.raises(sftdata.ConfigError, match="progress: must be"), shown_progress("yes"):  # type: ignore[arg-type]
        pass


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    from sftdata.progress import ProgressBar

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(os.environ, "TERM", "xterm")
    with shown_progress("auto") as shown:
        assert isinstance(shown, ProgressBar)
    monkeypatch.setitem(os.environ, "TERM", "dumb")
    with shown_progress("auto") as shown:
        assert isinstance(shown, ProgressLines)


def test_warnings_are_said_once_on_stderr_and_are_in_the_summary(
    tiny_tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [chat(f"Hi {n}", f"Ho {n}<|endoftext|>") for n in range(20)]
    ds = sftdata.prepare(rows, tokenizer=tiny_tokenizer, out=tmp_path / "out")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["read", "encode"]
    (warning,) = [line for line in lines if line.startswith("warning: ")]
    assert warning.startswith("warning: 20 ") and "have an answer that ends in <|endoftext|>" in warning
    assert warning in str(ds.summary())


def test_the_commands_say_that_rows_were_given_in_python(ds: sftdata.Dataset, tmp_path: Path) -> None:
    given = "mine: 4 rows given in Python, which are in no file"
    for command in ("verify", "inspect"):
        code, output, _ = call(command, tmp_path / "out")
        assert code == 0 and given in output, output
    code, output, _ = call("why", tmp_path / "out", "mine:4")
    assert code == 0 and "mine:4 of mine: dropped by validate as empty_answer" in output
    assert "it was given as a Python object, which is in no file" in output
    code, output, _ = call("inspect", tmp_path / "out", "--where", "mine:1")
    assert code == 0 and "Hi" in output


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*arguments: Any, **settings: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sftdata.pipeline.read.write_rows", no_space)
    with pytest.raises(sftdata.OutputError, match="the disk is full"):
        sftdata.prepare(ROWS, tokenizer=tiny_tokenizer, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_an_error_in_the_rows_of_a_program_is_its_own(tiny_tokenizer: Path, tmp_path: Path) -> None:
    def rows() -> Any:
        yield ROWS[0]
        (tmp_path / "there is no such file").read_text()

    with pytest.raises(FileNotFoundError, match="there is no such file"):
        sftdata.prepare(rows(), tokenizer=tiny_tokenizer, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
