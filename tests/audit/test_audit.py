"""`sftdata check`: each kind of finding is planted in its own row, and is found there and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import call

from sftdata.audit import Audit, audit
from sftdata.config import SourceConfig, load_config, parse_config
from sftdata.errors import ConfigError, SourceError
from sftdata.reasons import REASONS

EMAIL = "maria.keller@posteo.de"
KEY = "AKIA" + "Q3EXZ7MPLK2VTNHD"  # in two halves, so that scanners of this file find no key
PEM = "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEpAIBAAKCAQEA\nq3x/k+Zz\n-----END RSA PRIVATE KEY-----"
PHONE, CARD, IBAN, IP = "+49 30 901820", "4539 1488 0343 6467", "DE89 3704 0044 0532 0130 00", "8.34.208.77"
SECRETS = (EMAIL, KEY, "MIIEpAIBAAKCAQEA", PHONE, CARD, IBAN, IP)

CALL = {"type": "function", "function": {"name": "add", "arguments": '{"a": "one"}'}}
ADD = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": ADD}}]
STORY = "The old lighthouse keeper climbed ninety steps each evening to light the lamp before ships came home safely."
ITEM = "How many apples does Nora have after she gives seven of her twenty three apples to Tom and his sister?"


def pair(prompt: object, completion: object) -> bytes:
    return json.dumps({"prompt": prompt, "completion": completion}).encode()


def chat(*turns: tuple[str, Any], **row: Any) -> bytes:
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in turns], **row}).encode()


def called(arguments: str, **row: Any) -> bytes:
    """A conversation with a tool call."""
    call = {"type": "function", "function": {"name": "add", "arguments": arguments}}
    asked = {"role": "user", "content": "What is one more?"}
    return json.dumps({"messages": [asked, {"role": "assistant", "tool_calls": [call]}], **row}).encode()


# One line per kind of finding: line 1 has none, line 2 the first kind, and so on.
PLANTED: dict[str, bytes] = {
    "bad_json": b'{"prompt": }',
    "bad_encoding": b'{"prompt": "\xff\xfe", "completion": "b"}',
    "null_byte": b'{"prompt": "a\0", "completion": "b"}',
    "not_an_object": b"[1, 2]",
    "unknown_shape": b'{"question": "What is blue?", "answer": "The sky."}',
    "missing_field": b'{"prompt": "What is green?"}',
    "wrong_type": pair(["Who wrote it?", "And when?"], ["Ann did.", "In May."]),
    "unknown_role": chat(("user", "Which one?"), ("wizard", "That one.")),
    "rendered_chat": pair("<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n", "Then."),
    "conflicting_fields": json.dumps(
        {"prompt": "Which is it?", "completion": "This.", "reasoning": "Odd.", "thinking": "Even."}
    ).encode(),
    "untrainable_content": chat(("user", [{"type": "image_url", "image_url": "x.png"}]), ("assistant", "A cat.")),
    "bad_tool_call": called("{"),
    "bad_characters": b'{"prompt": "Half: \\ud800", "completion": "Half a pair."}',
    "roles_out_of_order": chat(("user", "Now?"), ("assistant", "Yes."), ("assistant", "Now.")),
    "no_user_turn": chat(("system", "Be brief."), ("assistant", "Hello.")),
    "no_answer": chat(("system", "Be brief."), ("user", "Hello there?")),
    "empty_answer": pair("Say something.", " "),
    "empty_prompt": pair(" ", "An answer to nothing."),
    "tool_result_without_call": chat(("user", "Sum?"), ("tool", "3"), ("assistant", "It is 3.")),
    "invalid_tool_call": called('{"a": "one"}', tools=TOOLS),
    "answer_too_short": pair("What is left?", "<|endoftext|>"),
    "answer_too_long": pair("Count for very long.", " ".join(map(str, range(100, 100_101)))),
    "template_residue": pair("What is a seal?", "It swims. <|im_end|> It barks."),
    "unfilled_placeholder": pair("Write a short greeting.", "Dear [Your Name], I hope you are well."),
    "mojibake": pair("Which coffee house is near?", "The cafÃ© on the corner."),
    "open_code_fence": pair("Print one.", "Here it is:\n```python\nprint(1)"),
    "cut_off": pair(
        "Describe a morning at sea.", "Gulls wheel over the harbour while the fishermen load crates of ice and"
    ),
    "echoed_prompt": pair("Name three rivers of Spain.", "Name three rivers of Spain."),
    "boilerplate": pair("How do you feel?", "As an AI language model, feelings are foreign to me."),
    "foreign_identity": pair("Who made you?", "I am ChatGPT, at your service."),
    "refusal": pair("Tell me a secret.", "I'm sorry, but I can't help with that."),
    "repetitive": pair("Sing.", "la di da di dum " * 20),
    "duplicate": pair("Which planet is red?", "Mars is red."),
    "near_duplicate": pair("Tell a story.", STORY.replace("home safely", "home gladly")),
    "contaminated": pair(ITEM.upper(), "Sixteen."),
    "trailing_control": pair("Which bird cannot fly?", "The penguin cannot.</s>"),
    "private_key": pair("Keep this for me.", f"Kept:\n{PEM}"),
    "api_key": pair("Which key opens the bucket?", f"This key: {KEY} does."),
    "email": pair("Whom do I write to?", f"Write to {EMAIL} tonight."),
    "iban": pair("Where does the rent go?", f"To {IBAN} by Monday."),
    "credit_card": pair("Which card was used?", f"It was {CARD} again."),
    "ip_address": pair("Where does it stand?", f"The server is at {IP} since May."),
    "phone": pair("How do I reach the office?", f"Ring {PHONE} at noon."),
}
STAGES = ("read", "format", "validate", "filter", "dedup", "decontaminate")
SOUND = pair("Which planet is red?", "Mars is red.")
LINE = {kind: number for number, kind in enumerate(PLANTED, 2)}
STORY_LINE = len(PLANTED) + 2


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data.jsonl with a valid row, the planted rows and the story; exam.jsonl with one item; c.yaml with both."""
    tmp_path = tmp_path_factory.mktemp("planted")
    rows = [SOUND, *PLANTED.values(), pair("Tell a story.", STORY)]
    # The story that the near-duplicate repeats must come before it.
    rows[LINE["near_duplicate"] - 1], rows[-1] = rows[-1], rows[LINE["near_duplicate"] - 1]
    (tmp_path / "data.jsonl").write_bytes(b"\n".join(rows))
    (tmp_path / "exam.jsonl").write_bytes(pair("What is the capital of Peru?", "Lima.") + b"\n" + pair(ITEM, "16"))
    (tmp_path / "c.yaml").write_text("sources: [data.jsonl]\ndecontaminate: {against: [exam.jsonl]}\n")
    return tmp_path


@pytest.fixture(scope="module")
def found(planted: Path) -> Audit:
    return audit(str(planted / "data.jsonl"), against=[planted / "exam.jsonl"])


def write(path: Path, *rows: bytes) -> Path:
    path.write_bytes(b"\n".join(rows))
    return path


def test_every_kind_is_found_in_its_own_row_and_in_no_other(found: Audit) -> None:
    lines = {**LINE, "near_duplicate": STORY_LINE}
    assert {one.kind: [example.where for example in one.examples] for one in found.findings} == {
        kind: [f"data.jsonl:{line}"] for kind, line in lines.items()
    }
    assert {one.rows for one in found.findings} == {1}
    assert {one.share for one in found.findings} == {1 / found.rows}


def test_rows_add_up(found: Audit) -> None:
    read = [one for one in found.findings if one.stage in ("read", "format", "validate")]
    assert found.rows == len(PLANTED) + 2
    assert found.rows_with_findings == len(PLANTED)
    assert found.sources[0].sound == found.rows - len(read)
    assert sum(found.sources[0].formats.values()) == found.rows
    assert found.evaluation_items == 2


def test_every_reason_that_an_audit_can_find_is_planted(found: Audit) -> None:
    looked_for = {kind for kind, (stage, _) in REASONS.items() if stage in STAGES}
    rare = {"line_too_long", "bad_row", "wrong_language"}  # have their own tests
    # These need settings (characters, columns, a model), so they are not checked without a config.
    rare |= {"shared_prefix", "over_cap", "semantic_duplicate", "internal_error"}
    assert looked_for - rare <= {one.kind for one in found.findings}


def test_each_finding_shows_its_evidence(found: Audit) -> None:
    text = {one.kind: one.examples[0].text for one in found.findings}
    assert text["bad_json"] == "column 12: expecting value"
    assert text["unknown_shape"] == "the row's keys are question, answer"
    assert text["template_residue"] == "message 2: holds '<|im_end|>'"
    assert text["duplicate"] == "the same as data.jsonl:1: 'Which planet is red? Mars is red.'"
    assert f"to data.jsonl:{LINE['near_duplicate']}: 'Tell a story. The old" in text["near_duplicate"]
    assert text["contaminated"].startswith("is exam.jsonl:2: 'HOW MANY APPLES")
    assert text["trailing_control"] == "message 2: ends in '</s>'"
    assert text["email"] == "1 email in message 2: 'Write to [EMAIL] tonight.'"


def test_no_output_contains_a_secret(planted: Path, found: Audit) -> None:
    arguments = ("check", planted / "data.jsonl", "--against", planted / "exam.jsonl")
    for output in (str(found), *call(*arguments)[1:], *call(*arguments, "--json")[1:]):
        assert [secret for secret in SECRETS if secret in output] == []


@pytest.mark.parametrize("secret", [EMAIL, KEY, PEM, PHONE, CARD, IBAN, IP])
def test_findings_of_rows_with_secrets_hide_them(tmp_path: Path, secret: str) -> None:
    rows = [
        json.dumps({secret: "a", "b": 1}).encode(),
        pair(secret, 7),
        json.dumps({"prompt": secret, "completion": {"a": secret}}).encode(),
        json.dumps({"messages": secret}).encode(),
        chat(("user", "Who?"), (secret, "Me.")),
        *[
            pair(f"Tell me all about {secret} and why it stands here", f"{secret}: one two three four and")
            for _ in "ab"
        ],
        pair(f"Tell me all about {secret} and why it stands here", f"{secret}: one two three four or"),
        pair(f"What is {secret} good for when it rains all day long?", f"[Your Name] [{secret}] {{{{{secret}}}}} ###"),
        SOUND,
    ]
    exam = write(tmp_path / "exam.jsonl", pair(f"What is {secret} good for when it rains all day long?", "x"))
    found = audit(write(tmp_path / "data.jsonl", *rows), against=[exam])
    assert {"unknown_shape", "wrong_type", "duplicate", "near_duplicate", "contaminated"} <= {
        one.kind for one in found.findings
    }
    assert (secret.split("\n")[1] if secret == PEM else secret) not in str(found)
    assert secret == PEM or secret[:12] not in str(found)


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    row = pair("Ring \x1b[31m\x07 the bell\u202e", "Ding \x9b2J dong.")
    data = write(tmp_path / "a.jsonl", row, row, b'{"\x1b\xe2\x80\xae": 1}')
    for output in (call("check", data)[1], call("check", data, "--json")[1], audit(data).findings[0].examples[0].text):
        assert not set(output) & set("\x1b\x07\x9b\u202e")


def test_every_suggested_setting_is_valid_in_a_config(found: Audit) -> None:
    minimal = {"tokenizer": "t", "sources": ["a.jsonl"], "out": "o"}
    dropped_anyway = {"read", "format", "validate"}
    for one in found.findings:
        if one.setting is None:
            assert one.stage in dropped_anyway
        else:
            parse_config({**minimal, **yaml.safe_load(one.setting)})
    settings = {one.kind: one.setting for one in found.findings}
    assert settings["mojibake"] == "filters: {preset: 'off', mojibake: true}"  # and no other filter
    assert settings["near_duplicate"] == "dedup: {near: {threshold: 0.8}}"
    assert settings["email"] == "privacy: {mode: redact}"
    assert settings["unknown_shape"] is None  # a mapping for that row would change the others


def test_a_row_counts_for_each_filter_that_it_fails(tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", pair("Hm?", "I am ChatGPT. As an AI language model I greet {{name}}."))
    kinds = [one.kind for one in audit(data).findings]
    assert kinds == ["unfilled_placeholder", "boilerplate", "foreign_identity"]
    assert audit(data).rows_with_findings == 1


def test_findings_count_the_rows_that_the_default_filters_drop(found: Audit) -> None:
    only_strict = {"answer_too_long", "unfilled_placeholder", "cut_off", "foreign_identity", "refusal"}
    by_default = {one.kind: one.default_rows for one in found.findings}
    assert {kind for kind, rows in by_default.items() if rows == 0} == only_strict
    assert by_default["mojibake"] == by_default["repetitive"] == by_default["boilerplate"] == 1
    assert by_default["duplicate"] is by_default["email"] is by_default["trailing_control"] is None


def test_word_statistics_and_formats_are_per_source(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", *[pair("a " * number, "b " * 2 * number) for number in range(1, 21)])
    two = write(tmp_path / "two.jsonl", b'{"text": "one two three"}', b'{"instruction": "Do", "output": "Done."}')
    first, second = audit([one, two]).sources
    assert (first.prompt_words, first.answer_words) == (_words(10, 19, 20), _words(20, 38, 40))
    assert dict(first.formats) == {"prompt_completion": 20}
    assert dict(second.formats) == {"alpaca": 1, "unknown": 1}
    text = audit([SourceConfig(path=str(two), format="text")]).sources[0]
    assert (text.prompt_words, text.answer_words) == (None, _words(3, 3, 3))


def _words(median: int, p95: int, most: int) -> Any:
    from sftdata.audit import WordStats

    return WordStats(median=median, p95=p95, max=most)


def test_lines_are_counted_across_the_units_of_a_large_file(tmp_path: Path) -> None:
    filler = [pair(f"number {number}", "word " * 20 + str(number)) for number in range(200)]
    found = audit(write(tmp_path / "large.jsonl", *filler, *_padded(), b"{", SOUND))
    assert [example.where for example in found.findings[0].examples] == ["large.jsonl:204"]


def _padded() -> list[bytes]:
    """Three rows of 6 MB each."""
    return [json.dumps({"prompt": "a", "completion": letter, "pad": "x" * (6 << 20)}).encode() for letter in "bcd"]


def test_tables_and_column_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("q,a\nWhat is one?,It is one\nWhat is two?\n")
    (tmp_path / "c.yaml").write_text("sources: [{path: a.csv, columns: {prompt: q, completion: a}}]\n")
    code, output, _ = call("check", tmp_path / "c.yaml", "--json")
    assert code == 0
    assert [(one["kind"], one["examples"][0]["where"]) for one in json.loads(output)["findings"]] == [
        ("bad_row", "a.csv:3")
    ]


def test_thresholds_of_the_config_are_used(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", pair("Tell a story.", STORY), pair("Tell a tale.", STORY.replace("old", "young")))
    (tmp_path / "c.yaml").write_text("sources: a.jsonl\ndedup: {near: {threshold: 0.5}}\n")
    assert audit(tmp_path / "a.jsonl").findings == ()
    code, output, _ = call("check", tmp_path / "c.yaml", "--json")
    (near,) = json.loads(output)["findings"]
    assert (code, near["kind"], near["setting"]) == (0, "near_duplicate", "dedup: {near: {threshold: 0.5}}")


def test_the_keys_of_the_json_are_stable(planted: Path) -> None:
    code, output, _ = call("check", planted / "c.yaml", "--json")
    assert code == 0
    report = json.loads(output)
    assert list(report) == [
        "schema_version",
        "rows",
        "rows_with_findings",
        "evaluation_items",
        "sources",
        "findings",
        "notes",
    ]
    assert report["schema_version"] == 1
    names = ["path", "rows", "sound", "formats", "unused", "calls", "prompt_words", "answer_words"]
    assert list(report["sources"][0]) == names
    assert list(report["sources"][0]["answer_words"]) == ["median", "p95", "max"]
    for one in report["findings"]:
        assert list(one) == ["kind", "stage", "rows", "share", "meaning", "default_rows", "setting", "examples"]
        assert [list(example) for example in one["examples"]] == [["where", "text"]]


def test_the_printed_report_has_each_kind_with_its_row_and_setting(planted: Path) -> None:
    code, output, _ = call("check", planted / "c.yaml")
    assert code == 0
    assert output.startswith("45 rows, 43 with findings\n")
    words = " ".join(output.split())
    assert "compared with 2 evaluation items" in words
    assert "by default: rows that `filters: default` drops" in words
    lines = output.splitlines()
    for kind, line in LINE.items():
        assert sum(text.startswith(kind + " ") for text in lines) == 2
        assert kind == "near_duplicate" or any(
            text.startswith(kind) and f"data.jsonl:{line} " in text for text in lines
        )


def test_tool_calls_in_texts_are_said(tmp_path: Path) -> None:
    hermes = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    data = write(tmp_path / "a.jsonl", pair("Hi", hermes), pair("Go", f"{hermes} is a call."), pair("Why?", "So."))
    found = audit([data])
    assert found.sources[0].calls == {"parsed: <tool_call>": 1, "unread: <tool_call>": 1}
    assert (
        "1 row has tool calls or results, read out of their texts (<tool_call> 1); "
        "tool_calls_in_text: keep would leave them there"
    ) in " ".join(call("check", data)[1].split())


def test_markup_in_the_data_is_text(tmp_path: Path) -> None:
    row = pair("[bold]Is this :smile: bold?[/bold]", "[red]No.[/red]")
    printed = " ".join(call("check", write(tmp_path / "a.jsonl", row, row))[1].split())
    assert "'[bold]Is this :smile: bold?[/bold] [red]No.[/red]'" in printed


def test_strict_exits_with_1_only_if_there_are_findings(tmp_path: Path, planted: Path) -> None:
    sound = write(tmp_path / "sound.jsonl", SOUND)
    assert call("check", sound, "--strict")[0] == 0
    assert "no findings" in call("check", sound)[1]
    assert call("check", planted / "c.yaml", "--strict")[0] == 1
    assert call("check", planted / "c.yaml", "--strict", "--json")[0] == 1


def test_user_errors_are_one_line(tmp_path: Path, planted: Path) -> None:
    unknown = write(tmp_path / "unknown.jsonl", PLANTED["unknown_shape"])
    (tmp_path / "typo.yaml").write_text("sources: [data.jsonl]\nout: {pth: x}\nfilter: strict\n")
    wrong = [
        ([tmp_path / "none.jsonl"], "no such file"),
        ([unknown], "map them with columns: {prompt: question, completion: answer}"),
        ([write(tmp_path / "blank.jsonl", b"", b"")], "holds no rows"),
        ([planted / "data.jsonl", "--against", unknown], "unknown.jsonl:1: is not a conversation"),
        ([planted / "c.yaml", "dedup.nea=on"], "dedup.nea is not a setting; did you mean dedup.near?"),
        (["seed=1"], "no data is given; give a settings file, or data files\n"),
    ]
    for arguments, sentence in wrong:
        code, output, error = call("check", *arguments)
        assert (code, output) == (1, ""), arguments
        assert sentence in error and "Traceback" not in error
    error = call("check", tmp_path / "typo.yaml")[2]
    assert "out.pth is not a setting" in error and "did you mean filters?" in error
    with pytest.raises(SourceError):
        audit(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="tokenizer is required"):
        load_config(planted / "c.yaml")


def test_a_source_with_an_unknown_shape_is_a_finding_if_others_are_valid(tmp_path: Path) -> None:
    unknown = write(tmp_path / "unknown.jsonl", PLANTED["unknown_shape"])
    (finding,) = audit([write(tmp_path / "a.jsonl", SOUND), unknown]).findings
    assert (finding.kind, finding.rows) == ("unknown_shape", 1)
    assert str(unknown) in str(finding.setting)


def test_against_is_relative_to_the_current_folder_and_config_paths_to_the_config(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (planted / "work").mkdir()
    write(planted / "work" / "more.jsonl", pair("What colour is the bear?", "White."))
    monkeypatch.chdir(planted / "work")
    code, output, _ = call("check", "../c.yaml", "--against", "more.jsonl", "--json")
    assert (code, json.loads(output)["evaluation_items"]) == (0, 3)


def test_against_accepts_columns_of_an_evaluation_file(tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", pair(ITEM, "16"))
    exam = write(tmp_path / "exam.jsonl", json.dumps({"q": ITEM, "a": "16"}).encode())
    how = f"{{path: {exam}, columns: {{prompt: q, completion: a}}}}"
    code, output, _ = call("check", data, "--against", how, "--json")
    assert (code, [one["kind"] for one in json.loads(output)["findings"]]) == (0, ["contaminated"])
    assert json.loads(output)["findings"][0]["setting"] == f"decontaminate: {{against: [{how}]}}"
    for wrong, sentence in (("{path: [", "is not YAML"), ("{paht: a}", "paht is not a setting")):
        code, _, error = call("check", data, "--against", wrong)
        assert code == 1 and sentence in error and "Traceback" not in error


def test_known_problems_of_the_shared_data_are_found(shared: Path) -> None:
    gsm8k = {"prompt": "question", "completion": "answer"}
    config = parse_config(
        {
            "tokenizer": "",
            "out": "",
            "sources": [
                {"path": str(shared / "data" / "gsm8k_train.jsonl"), "columns": gsm8k},
                str(shared / "data" / "alpaca_en.json"),
                str(shared / "data" / "glaive_en.json"),
                str(shared / "data" / "sharegpt_dummy.json"),
            ],
            "decontaminate": {"against": [{"path": str(shared / "data" / "gsm8k_test.jsonl"), "columns": gsm8k}]},
        }
    )
    found = audit(config)
    assert [source.rows for source in found.sources] == [7473, 999, 300, 500]
    assert (found.rows, found.evaluation_items) == (9272, 1319)
    rows = {one.kind: one.rows for one in found.findings}
    assert rows["near_duplicate"] > 100 and rows["foreign_identity"] > 200  # of FastChat's dummy conversations
    assert rows.keys() & {"bad_json", "unknown_shape", "missing_field"} == set()
