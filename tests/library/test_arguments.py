"""What a program may give to `sftdata.prepare` and `sftdata.check`, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from command_line import call
from datasets import Dataset, DatasetDict
from raw_rows import chat, write_lines

from sftdata.config import Config, SourceConfig
from sftdata.errors import ConfigError
from sftdata.library.arguments import config_of

ROWS = [chat("Hi", "Ho"), chat("1+1?", "2")]
NEEDED = {"tokenizer": "tok", "out": "shards"}


def sources(data: Any, **settings: Any) -> list[dict[str, Any]]:
    """The sources that data becomes: their settings, the rows as the object that was given."""
    config = config_of(data, {**NEEDED, **settings}, "prepare")
    return [{name: getattr(source, name) for name in source.model_fields_set} for source in config.sources]


def error_of(data: Any, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config_of(data, {**NEEDED, **settings}, "prepare", options=("workers", "overwrite", "progress"))
    return str(caught.value)


def test_a_path_or_a_list_of_them_is_what_is_read() -> None:
    assert sources("chats/*.jsonl") == [{"path": "chats/*.jsonl"}]
    assert sources(Path("a.jsonl")) == [{"path": "a.jsonl"}]
    assert sources(["ORG/NAME", Path("b"), "https://host.org/c.jsonl"]) == [
        {"path": "ORG/NAME"},
        {"path": "b"},
        {"path": "https://host.org/c.jsonl"},
    ]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        tuple(ROWS),
        iter(ROWS),
        pd.DataFrame(ROWS),
        pa.Table.from_pylist(ROWS),
        pa.Table.from_pylist(ROWS).to_reader(),
        Dataset.from_list(ROWS),
        DatasetDict({"train": Dataset.from_list(ROWS)}),
        {"train": ROWS, "test": ROWS[:1]},
        [],
        [[{"role": "user", "content": "a list of turns, which is no row"}]],
        [{"path": "a.py", "prompt": "A row with a column called path?", "completion": "Yes."}],
        [{"messages": np.array([{"role": "user", "content": "as pandas reads it"}], dtype=object)}],
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_are_given_on_as_the_object_that_they_are(rows: Any) -> None:
    (source,) = sources(rows)
    assert source.keys() == {"path", "rows"}
    assert source["path"] == "rows" and source["rows"] is rows


def test_objects_and_files_can_be_mixed_and_named() -> None:
    table, frame = pa.Table.from_pylist(ROWS), pd.DataFrame(ROWS)
    given = [{"path": table, "name": "mine", "weight": 2}, "a.jsonl", {"rows": frame, "weight": 1}, ROWS]
    for found in (sources(given), sources(None, sources=given)):
        assert [source["path"] for source in found] == ["mine", "a.jsonl", "rows", "rows-2"]
        assert found[0]["rows"] is table and found[0]["weight"] == 2
        assert found[2]["rows"] is frame and found[3]["rows"] is ROWS
    assert sources({"path": "q.csv", "columns": {"prompt": "q"}}) == [{"path": "q.csv", "columns": {"prompt": "q"}}]
    assert sources(SourceConfig(path="q.csv", system="Be brief.")) == [{"path": "q.csv", "system": "Be brief."}]


def test_settings_of_a_source_are_those_of_all_that_is_given() -> None:
    assert sources(["a", "b"], columns={"prompt": "q"}, split="dev", keep=["user"]) == [
        {"path": "a", "columns": {"prompt": "q"}, "split": "dev", "keep": ("user",)},
        {"path": "b", "columns": {"prompt": "q"}, "split": "dev", "keep": ("user",)},
    ]
    (source,) = sources(ROWS, name="mine", system="Be brief.")
    assert (source["path"], source["name"], source["system"]) == ("mine", "mine", "Be brief.")
    config = config_of("a", {**NEEDED, "split": {"validation": 0.1}}, "prepare")
    assert config.split.validation == 0.1 and config.sources[0].split is None


def test_settings_are_nested_or_dotted() -> None:
    settings = {"dedup": {"near": {}}, "pack": {"seq_len": 4096}, "filters.refusals": True, "sources.0.format": "text"}
    config = config_of("a.jsonl", {**NEEDED, **settings}, "prepare")
    assert config.dedup.near is not None and config.pack.seq_len == 4096
    assert config.filters.refusals and config.sources[0].format == "text"
    assert config.out.path == "shards"


def test_a_config_a_dict_and_a_settings_file_may_be_given_with_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {
        "tokenizer": "tok",
        "sources": [{"rows": ROWS, "name": "mine"}],
        "out": "shards",
        "seed": 3,
    }
    config = Config.from_dict(given)
    assert config_of(config, {}, "prepare") is config
    for data in (config, given):
        changed = config_of(data, {"pack.seq_len": 64, "seed": 4, "out": tmp_path / "other"}, "prepare")
        assert (changed.pack.seq_len, changed.seed, changed.out.path) == (64, 4, str(tmp_path / "other"))
        assert changed.sources[0].rows is ROWS and changed.sources[0].path == "mine"
    assert (config.seed, given["seed"], given["out"]) == (3, 3, "shards")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.yaml").write_text("tokenizer: tok\nsources: a.jsonl\nout: {path: o, shard_tokens: 1000}\n")
    (tmp_path / "local").mkdir()
    monkeypatch.chdir(tmp_path)
    config = config_of("conf/a.yaml", {"out": "shards", "tokenizer": Path("local")}, "prepare")
    assert Path(config.resolve_path(config.sources[0].path)) == Path("conf/a.jsonl")
    assert Path(config.resolve_path(config.out.path)).resolve() == tmp_path / "shards"
    assert Path(config.resolve_path(config.tokenizer)).resolve() == tmp_path / "local"
    assert config.out.shard_tokens == 1000
    assert config_of(["conf/a.yaml"], {}, "prepare").tokenizer == "tok"


def test_a_typo_gets_the_sentence_of_the_command_line(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", ROWS)
    for setting, value in (("seq_length", 4096), ("pack.seq_length", 4096), ("dedup.exat", True), ("seed", "x")):
        _, _, printed = call("prepare", data, "--tokenizer", "tok", "--out", "o", f"{setting}={value}")
        said = error_of(str(data), **{setting: value}).partition(": ")[2]
        assert said.partition(": write")[0].partition(" write ")[0] in " ".join(printed.split())


def test_what_is_wrong_is_said_in_one_sentence() -> None:
    assert error_of(ROWS, overwite=True) == "prepare: overwite is not a setting; did you mean overwrite?"
    assert error_of(None) == "prepare: no data is given; give a path, rows, or sources=[...]"
    assert error_of("a", sources=["b"]) == "prepare: data and sources are both given; give one of them"
    assert (
        error_of(["a", "b.yaml"])
        == "b.yaml: is a settings file, but other data is given too; give one settings file, or data only"
    )
    assert error_of([chat("Hi"), "a.jsonl"]).startswith("prepare: a list holds both rows and paths; put the rows into")
    assert error_of(7) == (
        "prepare: is of the type int, which is no data; give a path, a list of dicts, a datasets.Dataset or a table"
    )
    assert error_of({"sources": "a", "tokeniser": "x"}).startswith("prepare: tokeniser is not a setting; did you mean")
    assert error_of(["a", "b"], name="x").startswith("prepare: name is given for several sources")
    assert error_of("a", name="x").endswith("a file has a name of its own")
    assert "two of them are called x" in error_of([{"rows": ROWS, "name": "x"}, {"rows": ROWS, "name": "x"}])
    assert "name must be a short text on one line" in error_of({"rows": ROWS, "name": "a\nb"})
    assert error_of({"path": "a.jsonl", "colums": {}}).startswith("prepare: sources.0.colums is not a setting; did you")


def test_a_tokenizer_that_is_an_object_is_refused_with_what_to_do() -> None:
    class PreTrainedTokenizerFast:
        def save_pretrained(self, folder: str) -> None: ...

    assert error_of("a", tokenizer=PreTrainedTokenizerFast()) == (
        "tokenizer: is a PreTrainedTokenizerFast, and must be a folder or a hub id; "
        "write it with tokenizer.save_pretrained(FOLDER), and give the folder"
    )
