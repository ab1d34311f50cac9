"""`prepare` as a whole: every row is in the ledger once, and every packed row in the shards with its own text."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_rows import chat, write_lines
from runs import ledger, prepare

import sftdata
from sftdata.engines import engine
from sftdata.pipeline import read
from sftdata.reasons import REASONS
from sftdata.store.shards import read_shard

# What a line may be -> the reason for which it is dropped, written by hand from the list of reasons.
BAD_LINES: list[tuple[bytes, str]] = [
    (b'{"messages": [', "bad_json"),
    (b'{"prompt": "\xff", "completion": "x"}', "bad_encoding"),
    (b"42", "not_an_object"),
    (b'{"colour": "blue"}', "unknown_shape"),
    (b'{"messages": [{"role": "user", "content": "Hi"}]}', "no_answer"),
    (b'{"prompt": "Hi", "completion": " "}', "empty_answer"),
    (b'{"prompt": "Hi", "completion": ["a", "b"]}', "wrong_type"),
    (b'{"messages": [{"role": "wizard", "content": "Hi"}]}', "unknown_role"),
    (json.dumps(chat("Hi", "word " * 200)).encode(), "overlong"),
]
lines = st.one_of(
    st.sampled_from(BAD_LINES),
    st.sampled_from([(b"", "blank"), (b"  \t", "blank")]),
    st.integers(0, 30).map(lambda n: (json.dumps(chat(f"What is {n}?", f"It is {n}.")).encode(), f"good {n}")),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(st.lists(lines, max_size=25), min_size=1, max_size=4),
    ends_in_newline=st.booleans(),
    unit_bytes=st.integers(20, 600),
    piece_rows=st.integers(1, 9),
)
def test_every_row_is_in_the_ledger_once_with_its_line_and_its_reason(
    tiny_tokenizer: Path,
    tmp_path: Path,
    files: list[list[tuple[bytes, str]]],
    ends_in_newline: bool,
    unit_bytes: int,
    piece_rows: int,
) -> None:
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    folder = tmp_path / "run" / "data"
    folder.mkdir(parents=True)
    expected: list[tuple[str, str | None]] = []
    duplicates: dict[str, str] = {}
    first: dict[str, str] = {}
    for number, body in enumerate(files):
        content = [(json.dumps(chat(f"File {number}", "Yes.")).encode(), f"file {number}"), *body]
        text = b"\n".join(line for line, _ in content) + (b"\n" if ends_in_newline else b"")
        (folder / f"{number}.jsonl").write_bytes(text)
        for at, (_, kind) in enumerate(content, 1):
            where = f"{number}.jsonl:{at}"
            if kind == "blank":
                continue
            if kind in REASONS:
                # Two overlong rows are the same conversation: the second is a duplicate before it is overlong.
                if kind == "overlong" and kind in first:
                    expected.append((where, "duplicate"))
                    duplicates[where] = first[kind]
                else:
                    expected.append((where, kind))
                    first.setdefault(kind, where)
            elif kind in first:
                expected.append((where, "duplicate"))
                duplicates[where] = first[kind]
            else:
                expected.append((where, None))
                first[kind] = where
    out = tmp_path / "run" / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "UNIT_BYTES", unit_bytes)
        patch.setattr(engine, "MAX_PIECE_ROWS", piece_rows)
        manifest = prepare(out, tiny_tokenizer, [str(folder)])
    rows = ledger(out)
    assert [(row["where"], row["reason"]) for row in rows] == expected
    assert {row["where"]: row["duplicate_of"] for row in rows if row["duplicate_of"]} == duplicates
    assert manifest.counts.rows_read == len(expected) == manifest.counts.packed + manifest.counts.num_dropped
    reasons = Counter(reason for _, reason in expected if reason)
    assert {reason: n for stage in manifest.counts.dropped.values() for reason, n in stage.items()} == reasons
    assert sum(shard.samples for shard in manifest.shards) == manifest.counts.packed
    sftdata.verify(out)


def test_each_packed_row_is_where_the_ledger_says_with_its_own_text(tiny_tokenizer: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    data = write_lines(tmp_path / "a.jsonl", [chat(f"Question {n}", f"Answer {n}") for n in range(30)])
    prepare(tmp_path / "out", tiny_tokenizer, [str(data)], shard_tokens=300)
    tokenizer = Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json"))
    shards = sorted((tmp_path / "out" / "train").iterdir())
    assert len(shards) > 1
    for number, row in enumerate(ledger(tmp_path / "out")):
        (place,) = row["places"]
        packed = read_shard(tmp_path / "out" / place["shard"]).slice(place["row"], 1).to_pylist()[0]
        start = sum(packed["seq_lengths"][: place["index"]])
        sample = slice(start, start + packed["seq_lengths"][place["index"]])
        ids, labels = packed["input_ids"][sample], packed["labels"][sample]
        assert packed["record_ids"][place["index"]] == row["record_id"]
        assert tokenizer.decode(ids, skip_special_tokens=False) == (
            f"<|im_start|>user\nQuestion {number}<|im_end|>\n<|im_start|>assistant\nAnswer {number}<|im_end|>\n"
        )
        trained = [id_ for id_ in labels if id_ != -100]
        assert tokenizer.decode(trained, skip_special_tokens=False) == f"Answer {number}<|im_end|>"
        assert (row["num_tokens"], row["num_trained_tokens"]) == (len(ids), len(trained))


def test_duplicates_are_kept_where_deduplication_is_off_and_have_ids_of_their_own(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello"), chat(" Hi\r\n", "Hello"), chat("Hi", "Hello")])
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)], dedup={"exact": False})
    assert manifest.counts.packed == 3
    assert len({row["record_id"] for row in ledger(tmp_path / "out")}) == 3
    sftdata.verify(tmp_path / "out")


def test_kept_columns_are_in_the_ledger_as_text(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [
        {**chat("Hi", "Hello"), "user_id": "u1", "meta": {"n": 1}, "reason": "r"},
        {**chat("Hi", "Bye"), "user_id": 2, "meta": {"n": None}},
        {"colour": "blue", "user_id": None},
    ]
    data = write_lines(tmp_path / "a.jsonl", rows)
    plain = write_lines(tmp_path / "b.jsonl", [{**chat("Yes?", "No."), "user_id": "not asked for"}])
    sources = [{"path": str(data), "keep": ["user_id", "meta.n", "meta", "reason"]}, str(plain)]
    prepare(tmp_path / "out", tiny_tokenizer, sources)
    kept = [[row[name] for name in ("user_id", "meta.n", "meta", "keep_reason")] for row in ledger(tmp_path / "out")]
    assert kept == [
        ["u1", "1", '{"n": 1}', "r"],
        ["2", None, '{"n": null}', None],
        [None, None, None, None],
        [None, None, None, None],
    ]
    sftdata.verify(tmp_path / "out")


def test_plain_text_is_trained_on_whole_and_needs_no_chat_template(tiny_tokenizer: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    base = tmp_path / "base"
    shutil.copytree(tiny_tokenizer, base)
    (base / "chat_template.jinja").unlink()
    data = write_lines(tmp_path / "a.jsonl", [{"text": "The quick brown fox."}, {"text": ""}, {"text": "Numbers: 1 2"}])
    manifest = prepare(tmp_path / "out", base, [{"path": str(data), "format": "text"}])
    assert manifest.template is None
    assert not (tmp_path / "out" / "tokenizer" / "chat_template.jinja").exists()
    assert sftdata.verify(tmp_path / "out").packed == 2
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    (row,) = read_shard(tmp_path / "out" / "train" / "00000-of-00001.arrow").to_pylist()
    texts = sorted(
        tokenizer.decode(part.tolist(), skip_special_tokens=False)
        for part in np.split(row["input_ids"], np.cumsum(row["seq_lengths"])[:-1])
    )
    assert texts == ["Numbers: 1 2<|im_end|>", "The quick brown fox.<|im_end|>"]
    starts = np.concatenate([[0], np.cumsum(row["seq_lengths"])[:-1]]).tolist()
    expected = [-100 if at in starts else id_ for at, id_ in enumerate(row["input_ids"])]
    assert row["labels"] == expected


def test_text_and_chats_may_be_mixed(tiny_tokenizer: Path, tmp_path: Path) -> None:
    text = write_lines(tmp_path / "t.jsonl", [{"text": "A <|im_start|> in a text is text."}])
    chats = write_lines(tmp_path / "c.jsonl", [chat("Hi", "Hello")])
    prepare(tmp_path / "out", tiny_tokenizer, [{"path": str(text), "format": "text"}, str(chats)])
    assert sftdata.verify(tmp_path / "out").packed == 2


def test_the_datasets_library_reads_the_shards(tiny_tokenizer: Path, tmp_path: Path) -> None:
    import datasets

    data = write_lines(tmp_path / "a.jsonl", [chat(f"Question {n}", "Yes.") for n in range(50)])
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)], split={"validation": 5})
    files = {
        split: [str(tmp_path / "out" / s.path) for s in manifest.shards if s.split == split]
        for split in manifest.splits
    }
    loaded = datasets.load_dataset("arrow", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    for split, facts in manifest.splits.items():
        assert loaded[split].num_rows == facts.rows
        assert sum(len(row["input_ids"]) for row in loaded[split]) == facts.tokens
        assert sum(len(row["seq_lengths"]) for row in loaded[split]) == facts.samples


def test_one_sample_a_row_where_packing_is_off(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat(f"Question {n}", "Yes.") for n in range(9)])
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)], pack={"seq_len": 99, "strategy": "none"})
    assert manifest.packing.rows == 9
    sftdata.verify(tmp_path / "out")


def test_a_run_that_packs_nothing_still_says_why_of_every_row(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", " "), chat("Hi", "word " * 200)])
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert manifest.shards == ()
    assert [row["reason"] for row in ledger(tmp_path / "out")] == ["empty_answer", "overlong"]
    sftdata.verify(tmp_path / "out")
