"""`verify` compares a manifest with itself, with the ledger and with the shards.

The dataset is one that `prepare` wrote; its manifest is changed and given its right hash, unless a test says otherwise.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from verification import check_rejected, write_manifest

import sftdata
from sftdata.store.verify import verify

Change = Callable[[dict[str, Any]], object]


def chat(question: str, answer: str, **more: Any) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns, **more}) + "\n"


@pytest.fixture(scope="module")
def prepared(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files, one of them trained on twice, with a duplicate, a column that is kept, and one that nothing uses."""
    folder = tmp_path_factory.mktemp("consistency")
    a = [chat(f"What is {number} + 1?", f"It is {number + 1}.", lang="en", topic="sums") for number in range(12)]
    (folder / "a.jsonl").write_text("".join([*a, a[0]]))
    (folder / "b.jsonl").write_text("".join(chat(f"And {number} x 2?", f"{2 * number}.") for number in range(9)))
    settings = {
        "tokenizer": str(tiny_tokenizer),
        "sources": [{"path": "a.jsonl", "repeat": 2, "keep": ["lang"]}, {"path": "b.jsonl"}],
        "pack": {"seq_len": 128},
        "split": {"validation": 3},
        "out": "out",
    }
    (folder / "prepare.yaml").write_text(json.dumps(settings))
    sftdata.prepare(sftdata.load_config(folder / "prepare.yaml"), workers=1)
    return folder / "out"


def changed(prepared: Path, folder: Path, change: Change) -> tuple[Path, dict[str, Any]]:
    """A copy of the dataset, and its changed manifest, which is not written."""
    shutil.copytree(prepared, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    return folder, manifest


def setting(*at: str | int, value: Any) -> Change:
    """Set a key, however deep."""

    def change(manifest: dict[str, Any]) -> None:
        inner: Any = manifest
        for name in at[:-1]:
            inner = inner[name]
        inner[at[-1]] = value

    return change


def more_prompts(*prompts: Callable[[list[int]], list[int]]) -> Change:
    """List prompts made of the one that is there."""

    def change(manifest: dict[str, Any]) -> None:
        (known,) = manifest["tokenizer"]["generation_prompts"]
        manifest["tokenizer"]["generation_prompts"] = [prompt(known) for prompt in prompts]

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "config.pack.seq_len": (
        setting("config", "pack", "seq_len", value=64),
        "config.pack.seq_len is 64, but the dataset was made with 128",
    ),
    "config.pack.strategy": (setting("config", "pack", "strategy", value="none"), "config.pack.strategy is 'none'"),
    "config.seed": (setting("config", "seed", value=1), "config.seed is 1, but the dataset was made with 0"),
    "config.tokenizer": (setting("config", "tokenizer", value="other"), "config.tokenizer is 'other'"),
    "config.template": (setting("config", "template", value="qwen3"), "config.template is 'qwen3'"),
    "config.split": (
        setting("config", "split", "validation", value=0),
        "config.split.validation is 0, but there are shards for validation",
    ),
    "config.dedup": (
        setting("config", "dedup", "exact", value=False),
        "rows were dropped as duplicate, which config.dedup.exact does not do",
    ),
    "config.sources": (
        setting("config", "sources", value=[{"path": "b.jsonl"}, {"path": "a.jsonl", "repeat": 2, "keep": ["lang"]}]),
        "mixture does not have the sources of the config",
    ),
    "format of all sources": (
        lambda manifest: [source.update(format="text") for source in manifest["config"]["sources"]],
        "config.sources are all plain text, which the template does not fit",
    ),
    "keep": (setting("config", "sources", 0, "keep", value=["user"]), "its columns are not those of the config"),
    "repeat": (setting("config", "sources", 0, "repeat", value=1), "its turn 2 is trained twice"),
    "privacy": (setting("privacy", value={"email": 1}), "privacy counts findings, but config.privacy.mode is off"),
    "a way out": (setting("encoding", "ways_out", value={"overlong": "x"}), "encoding.ways_out names overlong"),
    "unused": (setting("unused", 0, "rows", value=14), "unused states 14 rows with topic in a.jsonl, of which 13 were"),
    "records of the mixture": (
        setting("mixture", 0, "records", value=2),
        "mixture states 2 records with",
    ),
    "copies of the mixture": (setting("mixture", 0, "copies", value=0), "mixture states a share of"),
    "share of the mixture": (setting("mixture", 0, "got", value=0.5), "mixture states a share of 0.5 for a.jsonl"),
    "no prompts": (more_prompts(), "tokenizer.generation_prompts is empty, but there are chats"),
    "another prompt": (more_prompts(lambda p: p, lambda p: [9, 9]), "generation_prompts lists [9, 9], which comes"),
    "the end of the prompt": (more_prompts(lambda p: p, lambda p: p[1:]), "which comes before no trained run"),
    "a longer prompt": (more_prompts(lambda p: [9, *p]), "there is no generation prompt directly before it"),
    "a control id": (
        setting("tokenizer", "answer_control_ids", value=[1]),
        "tokenizer.answer_control_ids lists 1, which is in no trained run",
    ),
    "unknown control ids": (setting("tokenizer", "answer_control_ids", value=None), "answer_control_ids is null"),
    "an end token": (setting("tokenizer", "end_of_turn_ids", value=[0]), "is not an end-of-turn token"),
    "counts": (
        lambda manifest: manifest["counts"].update(packed=20, rows_read=21),
        "its counts differ from the ledger's",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), CHANGES.values(), ids=CHANGES)
def test_a_changed_manifest_is_reported_even_if_its_hash_is_right(
    prepared: Path, tmp_path: Path, change: Change, sentence: str
) -> None:
    folder, manifest = changed(prepared, tmp_path / "out", change)
    write_manifest(folder, manifest)
    check_rejected(folder, sentence)


NOWHERE_ELSE: dict[str, Change] = {
    "a note": setting("notes", value=["nothing to see"]),
    "a version": setting("versions", "sftdata", value="9"),
    "a setting of a filter": setting("config", "filters", "min_answer_chars", value=5),
    "a count of encoding": setting("encoding", "unused_messages", value=5),
    "a key taken away": lambda manifest: manifest.pop("notes"),
}


@pytest.mark.parametrize("change", NOWHERE_ELSE.values(), ids=NOWHERE_ELSE)
def test_what_nothing_else_says_is_held_by_the_hash(prepared: Path, tmp_path: Path, change: Change) -> None:
    folder, manifest = changed(prepared, tmp_path / "out", change)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    check_rejected(folder, "manifest_hash is not the hash of its content: it was changed after it was written")


def test_the_hash_is_that_of_the_content_however_it_is_written(prepared: Path, tmp_path: Path) -> None:
    folder, manifest = changed(prepared, tmp_path / "out", lambda manifest: None)
    content = {key: manifest[key] for key in reversed(manifest) if key != "manifest_hash"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert manifest["manifest_hash"] == hashlib.sha256(canonical).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({"manifest_hash": manifest["manifest_hash"], **content}))
    assert verify(folder).is_hashed


def test_a_manifest_of_an_earlier_version_states_no_hash_and_passes(prepared: Path, tmp_path: Path) -> None:
    folder, manifest = changed(prepared, tmp_path / "out", lambda manifest: manifest.pop("manifest_hash"))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert not verify(folder).is_hashed


def test_rows_of_a_file_that_is_named_twice_are_in_the_ledger_twice(dataset: Any, tmp_path: Path) -> None:
    dataset.ledger.append({**dataset.ledger[2]})
    sources = [{"path": "chats.jsonl"}, {"path": "notes.txt", "format": "text"}]
    dataset.manifest["config"] = {"sources": sources}
    check_rejected(dataset.write(tmp_path / "once"), "has 2 rows of chats.jsonl:3 in chats.jsonl, which was read once")
    dataset.manifest["config"] = {"sources": [sources[0], *sources]}
    verify(dataset.write(tmp_path / "twice"))
