"""The demo's data is what the README and the demo's settings say it is."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import sftdata
from sftdata.store.ledger import read_ledger

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
VALUES = {
    "intent": {
        "account",
        "billing",
        "cancel",
        "complaint",
        "defect",
        "delivery",
        "exchange",
        "praise",
        "question",
        "refund",
    },
    "urgency": {"low", "medium", "high"},
    "sentiment": {"happy", "neutral", "annoyed", "worried", "angry"},
    "needs_human": {True, False},
}


def read(name: str) -> list[tuple[str, dict[str, Any]]]:
    """The customers' messages of a file, each with its answer."""
    pairs = []
    for line in (DEMO / name).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert list(row) == ["messages"]
        user, assistant = row["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        pairs.append((user["content"], json.loads(assistant["content"])))
    return pairs


def words(text: str) -> str:
    """The words alone, so that two spellings of one message are equal."""
    return " ".join(re.findall(r"\w+", text.lower()))


def shingles(text: str) -> set[str]:
    """Every run of five words."""
    found = words(text).split()
    return {" ".join(found[i : i + 5]) for i in range(len(found) - 4)}


def test_there_are_1036_conversations_to_train_on_and_40_held_out() -> None:
    assert (len(read("train.jsonl")), len(read("heldout.jsonl"))) == (1036, 40)


@pytest.mark.parametrize("name", ["train.jsonl", "heldout.jsonl"])
def test_every_answer_has_the_five_keys_in_one_order_and_values_from_the_lists(name: str) -> None:
    for message, answer in read(name):
        assert list(answer) == ["intent", "product", "urgency", "sentiment", "needs_human"], message
        assert {key for key in VALUES if answer[key] not in VALUES[key]} == set(), message
        assert re.fullmatch(r"[\w\-]+( [\w\-]+){0,2}", answer["product"]), message


def test_no_message_is_written_twice() -> None:
    messages = [words(message) for message, _ in read("train.jsonl") + read("heldout.jsonl")]
    assert len(set(messages)) == len(messages)


def test_no_held_out_message_repeats_a_sentence_of_a_training_message() -> None:
    trained = set().union(*(shingles(message) for message, _ in read("train.jsonl")))
    shared = {message: shingles(message) & trained for message, _ in read("heldout.jsonl")}
    assert {message: runs for message, runs in shared.items() if len(runs) >= 3} == {}


def test_messages_are_not_templated() -> None:
    messages = [words(message) for message, _ in read("train.jsonl")]
    openings = [" ".join(message.split()[:4]) for message in messages]
    assert max(openings.count(opening) for opening in openings) <= 3
    lengths = [len(message.split()) for message in messages]
    assert min(lengths) >= 5
    assert max(lengths) >= 30


def test_every_intent_is_in_both_files() -> None:
    for name in ("train.jsonl", "heldout.jsonl"):
        assert {answer["intent"] for _, answer in read(name)} == VALUES["intent"]


def test_the_demo_trains_on_no_held_out_message_by_its_own_settings(tiny_tokenizer: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load((DEMO / "prepare.yaml").read_text(encoding="utf-8"))
    assert settings["decontaminate"] == {"against": ["heldout.jsonl"]}
    against = {"against": [str(DEMO / "heldout.jsonl")]}
    first_of_heldout = (DEMO / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[0]
    leaked = tmp_path / "leaked.jsonl"
    leaked.write_text((DEMO / "train.jsonl").read_text(encoding="utf-8") + first_of_heldout + "\n", encoding="utf-8")
    out = str(tmp_path / "out")
    sftdata.prepare(str(leaked), tokenizer=str(tiny_tokenizer), out=out, progress=False, decontaminate=against)
    rows = read_ledger(tmp_path / "out").to_pylist()
    dropped = [(Path(row["where"]).name, row["reason"]) for row in rows if row["reason"]]
    assert dropped == [("leaked.jsonl:1037", "contaminated")]


def test_both_files_are_prepared_with_one_system_prompt_and_judged_by_the_lists_of_values() -> None:
    train, heldout, judged = (
        yaml.safe_load((DEMO / name).read_text(encoding="utf-8"))
        for name in ("prepare.yaml", "heldout.yaml", "eval.yaml")
    )
    assert train["sources"][0]["system"] == heldout["sources"][0]["system"]
    schema = judged["evaluate"]["checks"][0]["json_schema"]
    listed = {key: set(one["enum"]) for key, one in schema["properties"].items() if "enum" in one}
    assert listed == {key: VALUES[key] for key in ("intent", "urgency", "sentiment")}


def test_a_check_compares_one_key_of_the_answer() -> None:
    spec = importlib.util.spec_from_file_location("demo_checks", DEMO / "checks.py")
    assert spec is not None and spec.loader is not None
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": '{"intent": "refund"}'}]}
    assert checks.intent('{"intent": "refund", "product": "tent"}', row)
    assert not checks.intent('{"intent": "billing"}', row)
    assert not checks.intent("refund", row)
    assert not checks.intent('["intent"]', row)
