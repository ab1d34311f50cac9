"""`prepare` as a whole: every row accounted for, and the same bytes whatever the circumstances."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_rows import chat, write_lines

import sftdata
from sftdata import pipeline
from sftdata.encode.tokenizer.encoder import Encoder
from sftdata.engines import local
from sftdata.errors import ConfigError, OutputError, SourceError, TemplateError, TokenizerError
from sftdata.reasons import REASONS
from sftdata.store.ledger import read_ledger
from sftdata.store.shards import read_shard

ROOT = Path(__file__).resolve().parents[1]
SEQ_LEN = 64


def prepare(out: Path, tokenizer: Path, sources: list[Any], workers: int = 1, **more: Any) -> sftdata.Manifest:
    more = {"pack": {"seq_len": SEQ_LEN}, **more}
    out_settings = {"path": str(out), "shard_tokens": more.pop("shard_tokens", 1_000_000)}
    config = sftdata.parse_config({"tokenizer": str(tokenizer), "sources": sources, "out": out_settings, **more})
    return sftdata.prepare(config, workers=workers)


def holds_no_dataset(out: Path) -> bool:
    """Nothing is there, or nothing but work that a next run may take over."""
    return not out.exists() or [path.name for path in out.iterdir()] == [".work"]


def ledger(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_ledger(out).to_pylist()
    return rows


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with its checksum."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# What a line may be -> the reason for which it is dropped, written by hand from the list of reasons.
BAD_LINES: list[tuple[bytes, str]] = [
    (b'{"messages": [', "bad_json"),
    (b'{"prompt": "\xff", "completion": "x"}', "bad_encoding"),
    (b"42", "not_an_object"),
    (b'{"colour": "blue"}', "unknown_shape"),
    (b'{"messages": [{"role": "user", "content": "Hi"}]}', "no_answer"),
    (b'{"prompt": "Hi", "completion": " "}', "empty_answer"),
    (b'{"prompt": "Hi", "completion": 7}', "wrong_type"),
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
        patch.setattr(pipeline, "UNIT_BYTES", unit_bytes)
        patch.setattr(local, "MAX_PIECE_ROWS", piece_rows)
        manifest = prepare(out, tiny_tokenizer, [str(folder)])
    rows = ledger(out)
    assert [(row["where"], row["reason"]) for row in rows] == expected
    assert {row["where"]: row["duplicate_of"] for row in rows if row["duplicate_of"]} == duplicates
    assert manifest.counts.rows_read == len(expected) == manifest.counts.packed + manifest.counts.num_dropped
    reasons = Counter(reason for _, reason in expected if reason)
    assert {reason: n for stage in manifest.counts.dropped.values() for reason, n in stage.items()} == reasons
    assert sum(shard.samples for shard in manifest.shards) == manifest.counts.packed
    sftdata.verify(out)


def test_each_packed_row_stands_where_the_ledger_says_with_its_own_text(tiny_tokenizer: Path, tmp_path: Path) -> None:
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


class Circumstances(NamedTuple):
    workers: int
    unit_bytes: int = pipeline.UNIT_BYTES
    piece_rows: int = local.MAX_PIECE_ROWS
    results_last_first: bool = False


CIRCUMSTANCES = [
    Circumstances(1),
    Circumstances(2),
    Circumstances(1, unit_bytes=100, piece_rows=1),
    Circumstances(2, unit_bytes=777, piece_rows=5),
    Circumstances(8, unit_bytes=1000, piece_rows=7, results_last_first=True),
]


def last_first(results: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """As if the work that was begun last were done first."""
    return lambda *args: iter(list(results(*args))[::-1])


def test_workers_sizes_of_pieces_and_the_order_of_results_change_no_byte(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat(f"Question {n % 70}", "Because. " * (n % 7)) for n in range(150)]
    write_lines(tmp_path / "data" / "a.jsonl", rows[:100])
    (tmp_path / "data" / "b.json").write_text(json.dumps([{**row, "user": n} for n, row in enumerate(rows[100:])]))
    source = {"path": str(tmp_path / "data"), "keep": ["user"]}
    out = tmp_path / "out"
    trees = []
    for case in CIRCUMSTANCES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "UNIT_BYTES", case.unit_bytes)
            patch.setattr(local, "MAX_PIECE_ROWS", case.piece_rows)
            if case.results_last_first:
                patch.setattr(local.LocalEngine, "_results", last_first(local.LocalEngine._results))
            prepare(
                out,
                tiny_tokenizer,
                [source],
                workers=case.workers,
                shard_tokens=500,
                split={"validation": 0.2},
                dedup={"near": {}},
            )
        trees.append(tree(out))
        shutil.rmtree(out)
    assert len([name for name in trees[0] if name.startswith(("train/", "validation/"))]) > 3
    assert all(other == trees[0] for other in trees)


FORKED = """
import sys
import sftdata
from sftdata import light, pipeline

light.take_over()
pipeline.UNIT_BYTES = 1000
sftdata.prepare(sftdata.load_config(sys.argv[1], [f"out={sys.argv[2]}"]), workers=int(sys.argv[2][-1]))
"""


def test_one_two_and_eight_workers_that_are_copies_of_the_program_change_no_byte(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / "a.jsonl", [chat(f"Question {n % 300}", "Because. " * (n % 7)) for n in range(600)])
    (tmp_path / "c.yaml").write_text(
        f"tokenizer: {tiny_tokenizer}\nsources: a.jsonl\nout: out\npack: {{seq_len: 64}}\ndedup: {{near: on}}\n"
    )
    trees = []
    for out in ("out1", "out2", "out8"):
        subprocess.run([sys.executable, "-c", FORKED, str(tmp_path / "c.yaml"), out], check=True, cwd=ROOT)
        trees.append(tree(tmp_path / out))
    assert len(trees[0]) > 4
    assert trees[0] == trees[1] == trees[2]


def test_the_dataset_depends_neither_on_the_current_folder_nor_on_where_the_project_lies(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = []
    for name, current in (("one", "."), ("two/deeper", "data")):
        project = tmp_path / name
        shutil.copytree(tiny_tokenizer, project / "tokenizer")
        write_lines(project / "data" / "a.jsonl", [chat("Hi", "Hello"), {"x": 1}])
        (project / "prepare.yaml").write_text("tokenizer: tokenizer\nsources: data\nout: shards\npack: {seq_len: 64}\n")
        monkeypatch.chdir(project / current)
        path = Path("prepare.yaml") if current == "." else Path("..", "prepare.yaml")
        sftdata.prepare(sftdata.load_config(path), workers=1)
        trees.append(tree(project / "shards"))
        assert str(tmp_path) not in (project / "shards" / "manifest.json").read_text()
        assert ledger(project / "shards")[0]["source"] == "data"
    assert trees[0] == trees[1]


def test_files_of_one_name_in_two_sources_are_told_apart(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(tmp_path / "a" / "chat.jsonl", [chat("One", "1"), chat("Two", "2")])
    write_lines(tmp_path / "b" / "chat.jsonl", [chat("Two", "2"), chat("Three", "3")])
    write_lines(tmp_path / "b" / "other.jsonl", [chat("Four", "4")])
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path / "out", tiny_tokenizer, ["a/chat.jsonl", "b/*.jsonl"])
    rows = ledger(tmp_path / "out")
    assert [row["where"] for row in rows] == [
        "a/chat.jsonl:1",
        "a/chat.jsonl:2",
        "b/chat.jsonl:1",
        "b/chat.jsonl:2",
        "other.jsonl:1",
    ]
    assert rows[2]["duplicate_of"] == "a/chat.jsonl:2"
    sftdata.verify(tmp_path / "out")


def test_duplicates_are_kept_where_deduplication_is_off_and_have_ids_of_their_own(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello"), chat(" Hi\r\n", "Hello"), chat("Hi", "Hello")])
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)], dedup={"exact": False})
    assert manifest.counts.packed == 3
    assert len({row["record_id"] for row in ledger(tmp_path / "out")}) == 3
    sftdata.verify(tmp_path / "out")


@pytest.mark.parametrize(("validation", "held"), [(0, 0), (1, 1), (7, 7), (0.25, None)])
def test_validation_takes_a_number_or_a_share_by_content(
    tiny_tokenizer: Path, tmp_path: Path, validation: float, held: int | None
) -> None:
    rows = [chat(f"Question {n}", "Yes.") for n in range(200)]
    forth, back = write_lines(tmp_path / "a.jsonl", rows), write_lines(tmp_path / "b.jsonl", rows[::-1])
    for data in (forth, back):
        prepare(tmp_path / data.stem, tiny_tokenizer, [str(data)], split={"validation": validation})
    sides = [{row["record_id"]: row["split"] for row in ledger(tmp_path / stem)} for stem in "ab"]
    assert sides[0] == sides[1]
    count = Counter(sides[0].values())
    assert count["train"] + count["validation"] == 200
    # 4 standard deviations of a share of 200 that is drawn by chance: 24
    assert count["validation"] == held if held is not None else abs(count["validation"] - 50) < 25
    assert (tmp_path / "a" / "validation").is_dir() == bool(validation)
    sftdata.verify(tmp_path / "a")


def test_a_validation_split_that_takes_everything_is_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    with pytest.raises(ConfigError, match=r"split\.validation: 3 takes every conversation"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)], split={"validation": 3})
    assert holds_no_dataset(tmp_path / "out")


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


def test_text_and_chats_may_stand_side_by_side(tiny_tokenizer: Path, tmp_path: Path) -> None:
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


def test_a_source_without_one_usable_row_ends_in_what_to_map(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [{"question": "Hi", "answer": "Hello"}] * 3)
    with pytest.raises(SourceError, match=r"columns: \{prompt: question, completion: answer\}"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert holds_no_dataset(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", ""), ("a.jsonl", "\n\n  \n"), ("a.json", "[]"), ("a.csv", "a,b\n")]
)
def test_a_source_without_rows_is_refused(tiny_tokenizer: Path, tmp_path: Path, name: str, content: str) -> None:
    data = tmp_path / name
    data.write_text(content)
    with pytest.raises(SourceError, match="holds no rows"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert holds_no_dataset(tmp_path / "out")


def test_where_the_fast_encoder_turns_out_wrong_tokenizers_encodes_all_again(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [("Hi", "Hello"), ("Name one", "A zebra"), ("Go on", "more " * 200), ("Hi", "Hello"), ("Odd", "\0")]
    data = write_lines(tmp_path / "a.jsonl", [chat(*turn) for turn in turns])
    prepare(tmp_path / "right", tiny_tokenizer, [str(data)], encoder="hf")
    assert prepare(tmp_path / "fast", tiny_tokenizer, [str(data)]).encoding.encoder == "fastokens"
    encode = Encoder._encode_fast

    def encode_wrongly(self: Encoder, texts: Sequence[str]) -> Any:
        ids, offsets = encode(self, texts)
        return (ids + 1 if any("zebra" in text for text in texts) else ids), offsets

    monkeypatch.setattr(Encoder, "_encode_fast", encode_wrongly)
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert manifest.encoding.encoder == "tokenizers"
    for folder in ("train", "ledger", "tokenizer"):
        assert tree(tmp_path / "out" / folder) == tree(tmp_path / "right" / folder)
    assert [row["reason"] for row in ledger(tmp_path / "out")] == [
        None, None, "overlong", "duplicate", "bad_characters"
    ]  # fmt: skip


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    with pytest.raises(TokenizerError, match="nowhere: there is no such folder"):
        prepare(tmp_path / "out", tmp_path / "nowhere", [str(data)])
    assert not (tmp_path / "out").exists()


def test_a_template_that_ends_no_turn_is_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    template = tmp_path / "open.jinja"
    template.write_text("{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}")
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    with pytest.raises(TemplateError, match=r"open\.jinja: writes no end-of-turn token"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)], template=str(template))
    assert not (tmp_path / "out").exists()


def test_a_dataset_is_replaced_only_when_asked_and_only_by_a_whole_one(tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = write_lines(tmp_path / "a.jsonl", [chat(f"Question {n}", "Yes.") for n in range(20)])
    old = {"tokenizer": str(tiny_tokenizer), "sources": [str(data)], "out": {"path": str(out), "shard_tokens": 100}}
    sftdata.prepare(sftdata.parse_config(old), workers=1)
    (out / "train" / "notes.txt").write_text("mine")
    before = tree(out)
    new = sftdata.parse_config({**old, "out": str(out)})
    with pytest.raises(OutputError, match="holds a dataset already"):
        sftdata.prepare(new, workers=1)
    broken = sftdata.parse_config({**old, "sources": [str(data), str(tmp_path / "absent.jsonl")]})
    with pytest.raises(SourceError):
        sftdata.prepare(broken, workers=1, overwrite=True)
    assert tree(out) == before
    sftdata.prepare(new, workers=1, overwrite=True)
    assert (out / "train" / "notes.txt").read_text() == "mine"
    (out / "train" / "notes.txt").unlink()
    assert [path.name for path in (out / "train").iterdir()] == ["00000-of-00001.arrow"]
    sftdata.verify(out)


def test_a_folder_with_other_things_in_it_is_left_alone(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"is not empty and holds no dataset \(it has thesis\.tex\)"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert tree(tmp_path / "out") == {"thesis.tex": hashlib.sha256(b"x").hexdigest()}


def test_sources_in_the_output_folder_are_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "data" / "a.jsonl", [chat("Hi", "Hello")])
    prepare(tmp_path / "data" / "out", tiny_tokenizer, [str(data)])
    config = {
        "tokenizer": str(tiny_tokenizer),
        "sources": str(tmp_path / "data"),
        "out": str(tmp_path / "data" / "out"),
    }
    with pytest.raises(OutputError, match="a file of the sources, lies in it"):
        sftdata.prepare(sftdata.parse_config(config), workers=1, overwrite=True)
    sftdata.verify(tmp_path / "data" / "out")


def test_a_run_that_packs_nothing_still_says_why_of_every_row(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", " "), chat("Hi", "word " * 200)])
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert manifest.shards == ()
    assert [row["reason"] for row in ledger(tmp_path / "out")] == ["empty_answer", "overlong"]
    sftdata.verify(tmp_path / "out")


def test_names_of_files_below_a_folder_are_relative_to_it(tiny_tokenizer: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "data" / "x" / "a.jsonl", [chat("One", "1")])
    write_lines(tmp_path / "data" / "y" / "a.jsonl", [{"zzz": 1}, chat("Two", "2")])
    prepare(tmp_path / "out", tiny_tokenizer, [str(tmp_path / "data")])
    assert [row["where"] for row in ledger(tmp_path / "out")] == ["x/a.jsonl:1", "y/a.jsonl:1", "y/a.jsonl:2"]
