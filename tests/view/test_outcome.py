"""What the ledger adds to the summary, and what deserves a warning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sftdata
from sftdata.audit import audit
from sftdata.errors import DatasetError
from sftdata.store.manifest import EncodingEntry, Manifest
from sftdata.view.outcome import Caution, Facts, find_cautions, read_facts
from sftdata.view.summary import in_millions, short_names, summarize
from sftdata.view.unused import contradictions

ADDS_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat(user: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": answer}], **more}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def prepared(folder: Path, tokenizer: Path, sources: list[Any], **settings: Any) -> tuple[Path, Manifest]:
    config = {"tokenizer": str(tokenizer), "sources": sources, "out": str(folder / "out")}
    sftdata.prepare(sftdata.parse_config({**config, **settings}), workers=1)
    return folder / "out", Manifest.load(folder / "out")


def warned(manifest: Manifest, facts: Facts | None, name: str) -> Caution:
    (found,) = (one for one in find_cautions(manifest, facts) if one.name == name)
    return found


def test_rows_are_counted_by_source_and_by_the_values_of_a_kept_column(tiny_tokenizer: Path, tmp_path: Path) -> None:
    many = [chat(f"Question {n}?", "Yes, it is so.", kind="long" if n else "short") for n in range(3)]
    first = write(tmp_path / "a.jsonl", [*many, many[0], chat("No answer?", " ")])
    second = write(tmp_path / "b.jsonl", [chat("Other?", "No, it is not.")])
    sources = [{"path": first, "keep": ["kind"]}, second]
    out, manifest = prepared(tmp_path, tiny_tokenizer, sources)
    by_source = read_facts(out, manifest)
    assert [group[:3] for group in by_source.groups] == [(first, 5, 3), (second, 1, 1)]
    assert sum(group.tokens for group in by_source.groups) == sum(shard.tokens for shard in manifest.shards)
    trained = sum(shard.trained_tokens for shard in manifest.shards)
    assert sum(group.trained_tokens for group in by_source.groups) == trained
    by_kind = read_facts(out, manifest, "kind")
    assert sorted(group[:3] for group in by_kind.groups if group.name) == [("long", 2, 2), ("short", 2, 1)]
    assert [group[:3] for group in by_kind.groups if group.name is None] == [(None, 2, 1)]
    lines = [line.split() for line in str(summarize("out", manifest, facts=by_source)).splitlines()]
    assert ["a.jsonl", "5", "40.0%"] in [line[:3] for line in lines]
    assert ["b.jsonl", "1", "0.0%"] in [line[:3] for line in lines]
    with pytest.raises(DatasetError, match="keeps no column 'colour'; add it to `keep` of the source"):
        read_facts(out, manifest, "colour")


def test_details_that_differ_in_their_numbers_are_one_kind(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat("Hi", "Yes. " * n) for n in (1, 2, 90, 91, 92)]
    out, manifest = prepared(tmp_path, tiny_tokenizer, [write(tmp_path / "a.jsonl", rows)], pack={"seq_len": 64})
    facts = read_facts(out, manifest)
    ((text, number, differs),) = facts.details["overlong"]
    assert (number, differs) == (3, True)
    assert text.endswith(" tokens, and pack.seq_len is 64")
    shown = " ".join(str(summarize("out", manifest, facts=facts)).split())
    assert f"3 x such as {text}" in shown


def test_a_system_prompt_that_the_template_adds_is_said_with_its_text(tiny_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(ADDS_SYSTEM)
    own = chat("And you?", "So do I.")
    own["messages"].insert(0, {"role": "system", "content": "Be brief."})
    data = write(tmp_path / "a.jsonl", [own, chat("Who?", "I am."), chat("Why?", "So."), {"x": 1}])
    _, manifest = prepared(tmp_path, tiny_tokenizer, [data], template=str(tmp_path / "t.jinja"))
    assert manifest.encoding is not None and manifest.encoding.added_system == {"Be kind.": 2}
    found = warned(manifest, None, "added_system")
    assert found.text == 'the template adds a system prompt to 2 conversations (66.7%): "Be kind."'
    assert (found.example, found.setting) == ("a.jsonl:2", "'sources.0.system=You are a helpful assistant.'")
    brief = [{"path": data, "system": "Be brief."}]
    folder = tmp_path / "brief"
    folder.mkdir()
    _, manifest = prepared(folder, tiny_tokenizer, brief, template=str(tmp_path / "t.jinja"))
    assert manifest.encoding is not None and manifest.encoding.added_system == {}


def test_a_template_that_adds_nothing_is_not_said_to(tiny_tokenizer: Path, tmp_path: Path) -> None:
    _, manifest = prepared(tmp_path, tiny_tokenizer, [write(tmp_path / "a.jsonl", [chat("Hi", "Ho")])])
    assert manifest.encoding is not None and manifest.encoding.added_system == {}


def test_end_tokens_are_one_number_which_check_has_too(tiny_tokenizer: Path, tmp_path: Path) -> None:
    ends = "<|endoftext|>"
    rows = [
        chat("One?", "1."),
        chat("Two?", f"2.{ends}"),
        chat("Two?", f"2.{ends}"),  # a duplicate
        chat("Long?", "Long. " * 90 + ends),  # overlong
        chat("None?", ends),  # nothing else
        chat("In it?", f"The token {ends} ends a text."),
    ]
    out, manifest = prepared(tmp_path, tiny_tokenizer, [write(tmp_path / "a.jsonl", rows)], pack={"seq_len": 64})
    assert manifest.encoding is not None
    assert (manifest.counts.packed, manifest.encoding.foreign_ends) == (4, 3)
    checked = {one.kind: one.rows for one in audit([tmp_path / "a.jsonl"]).findings}
    assert checked["trailing_control"] == 3
    summary = summarize("out", manifest, facts=read_facts(out, manifest))
    (found,) = (one for one in summary.warnings if one.name == "foreign_ends")
    assert found.text.startswith(f"3 rows (50.0%) have an answer that ends in {ends}, left over")
    assert (found.share, found.example) == (0.5, "a.jsonl:2")
    assert summary.lines == (f"control strings in text, kept as text: {ends} 1 x assistant",)  # in the last row


def test_conversations_that_became_several_samples_are_said(tiny_tokenizer: Path, tmp_path: Path) -> None:
    turns = [{"role": role, "content": "one two three"} for _ in range(3) for role in ("user", "assistant")]
    data = write(tmp_path / "a.jsonl", [chat("Hi", "Ho"), {"messages": turns}])
    out, manifest = prepared(tmp_path, tiny_tokenizer, [data], overlong="split", pack={"seq_len": 64})
    facts = read_facts(out, manifest)
    assert (facts.several, facts.several_first) == (1, "a.jsonl:2")
    found = warned(manifest, facts, "several_samples")
    assert found.text == "1 conversation became several samples (50.0%): they are longer than a sequence"
    assert found.setting == "pack.seq_len=128"


def test_copies_of_a_conversation_are_not_several_samples(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", [chat("Hi there", "Ho there, and here.")])
    out, manifest = prepared(tmp_path, tiny_tokenizer, [{"path": data, "repeat": 3}])
    assert (sum(shard.samples for shard in manifest.shards), read_facts(out, manifest).several) == (3, 0)


def test_answers_of_a_few_tokens_and_a_tiny_validation_split_are_said(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat(f"Is {n} even?", "A" if n < 9 else "The number is not even at all.") for n in range(12)]
    data = write(tmp_path / "a.jsonl", rows)
    out, manifest = prepared(tmp_path, tiny_tokenizer, [data], split={"validation": 2})
    facts = read_facts(out, manifest)
    assert (facts.few, facts.few_first) == (9, "a.jsonl:1")
    short = warned(manifest, facts, "short_answers")
    assert short.text == (
        "9 conversations have at most 3 trained tokens, the end token among them (75.0%): answers of a word or two"
    )
    tiny = warned(manifest, facts, "tiny_validation")
    assert tiny.text == "the validation split has only 2 conversations: the loss on it says little"


@pytest.mark.parametrize(
    ("config", "said", "setting"),
    [
        ({"dedup": {"exact": False, "near": {}}}, "dedup.exact: false keeps exact duplicates", "dedup.exact=true"),
        ({"split": {"validation": 0, "by": "user"}}, "split.by: user does nothing", "split.validation=0.05"),
        ({"split": {"validation": 0.6}}, "split.validation: 0.6 holds out more", "split.validation=0.05"),
        ({"thinking": "on", "reasoning": "drop"}, "thinking: on asks the model to think", "'thinking=\"off\"'"),
        (
            {"thinking": "off", "chat_template_kwargs": {"enable_thinking": True}},
            "thinking: off and chat_template_kwargs: {enable_thinking: true} contradict",
            "'thinking=\"on\"'",
        ),
        ({"filters": {"min_answer_words": 9, "max_answer_words": 3}}, "no answer is as long as", None),
        ({"decontaminate": {"overlap": 0.2, "against": []}}, "decontaminate.overlap does nothing", None),
        ({"out": {"shard_tokens": 10}, "pack": {"seq_len": 2048}}, "out.shard_tokens (10) is less", None),
    ],
)
def test_settings_that_contradict_each_other_are_named(config: dict[str, Any], said: str, setting: str | None) -> None:
    ((text, found),) = contradictions(config)
    assert text.startswith(said)
    assert found == setting or said.startswith("out.")


def test_settings_as_they_are_by_default_contradict_nothing(tiny_tokenizer: Path) -> None:
    config = sftdata.parse_config({"tokenizer": "t", "sources": ["a.jsonl"], "out": "o"})
    assert contradictions(config.model_dump(mode="json")) == []
    assert contradictions({"dedup": 3, "split": [], "filters": "x", "thinking": {}, "out": None}) == []


def test_five_warnings_are_shown_and_the_most_important_are_first(small_dataset: Path) -> None:
    manifest = Manifest.load(small_dataset)
    lost = {f"thing {n}": 6 - n for n in range(6)}
    encoding = EncodingEntry(encoder="tokenizers", lost_context=lost, added_system={"Be kind.": 6})
    manifest = manifest.model_copy(update={"encoding": encoding})
    lines = str(summarize("x", manifest)).splitlines()
    shown = [line for line in lines if line.startswith("warning: ")]
    assert len(shown) == 5
    assert shown[0].startswith("warning: 6 rows are trained behind prompts without their thing 0")
    assert lines[-1].strip() == "and 3 more warnings, which --json lists"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/data/raw/a.jsonl"], ["a.jsonl"]),
        (["/data/x/train.jsonl", "/data/y/train.jsonl", "/data/y/b.csv"], ["x/train.jsonl", "y/train.jsonl", "b.csv"]),
        (["chats/a.jsonl", "org/name"], ["chats/a.jsonl", "org/name"]),
        (["/a/b.jsonl", "/a/b.jsonl"], ["b.jsonl", "b.jsonl"]),
        (["/b.jsonl", "/a/b.jsonl"], ["/b.jsonl", "a/b.jsonl"]),
    ],
)
def test_paths_are_as_short_as_they_can_be_told_apart(paths: list[str], names: list[str]) -> None:
    assert short_names(paths) == names


def test_large_numbers_are_short() -> None:
    numbers = (0, 999_999, 1_000_000, 4_486_889, 12_345_678_901, 2 * 10**12)
    assert [*map(in_millions, numbers)] == ["0", "999,999", "1.00 M", "4.49 M", "12.35 B", "2.00 T"]


@pytest.mark.parametrize(
    ("reason", "stage", "setting"),
    [
        ("overlong", "pack", "overlong=split"),
        ("duplicate", "dedup", "dedup.exact=false"),
        ("roles_out_of_order", "validate", "sources.0.merge_same_role=merge"),
        ("untrainable_content", "format", None),  # the column has a name of its own
        ("no_answer", "validate", None),
    ],
)
def test_many_dropped_rows_come_with_a_setting_that_can_be_pasted(
    small_dataset: Path, reason: str, stage: str, setting: str | None
) -> None:
    manifest = Manifest.load(small_dataset)
    counts = manifest.counts.model_copy(update={"rows_read": 9, "dropped": {stage: {reason: 3}}})
    config = {"sources": [{"path": "a.jsonl"}]}
    found = warned(manifest.model_copy(update={"counts": counts, "config": config}), None, "dropped")
    assert found.text == f"3 rows (33.3% of the rows read) are dropped, most of them as {reason} (3)"
    assert found.setting == setting


def test_rows_that_a_tried_setting_trains_are_a_warning_with_it(small_dataset: Path) -> None:
    ways = {
        "template_error": "tool_calls=inline trains 2 of 2 of them that were tried",
        "lost_field": "tool_calls=inline trains 1 of 1 of them that were tried",
        "unproven_mask": "choose another template",
    }
    manifest = Manifest.load(small_dataset)
    dropped = {"encode": {"template_error": 2, "lost_field": 1, "unproven_mask": 1}}
    update = {"rows_read": 1000, "dropped": dropped, "examples": {"template_error": "a.jsonl:7"}}
    encoding = EncodingEntry(encoder="tokenizers", ways_out=ways)
    few = manifest.model_copy(update={"counts": manifest.counts.model_copy(update=update), "encoding": encoding})
    found = warned(few, None, "way_out")
    assert found.text == (
        "3 rows (0.3%) dropped as template_error and lost_field: a setting that was tried trains such rows"
    )
    assert (found.setting, found.example, found.share) == ("tool_calls=inline", "a.jsonl:7", 0.003)
    many = few.model_copy(update={"counts": few.counts.model_copy(update={"rows_read": 8})})
    names = [caution.name for caution in find_cautions(many, None)]
    assert warned(many, None, "dropped").setting == "tool_calls=inline"
    assert "way_out" not in names
