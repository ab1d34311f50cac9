"""`max_records`, `repeat` and `weight` in `prepare`: what each source gives, and that nothing else changes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from verification import write_manifest

import sftdata
from sftdata.engines import engine
from sftdata.errors import ConfigError, DatasetError
from sftdata.pipeline import read
from sftdata.store.ledger import read_ledger
from sftdata.store.shards import read_shard


def chats(path: Path, count: int, words: int, name: str) -> Path:
    """Conversations with answers of one or two lengths."""
    rows = [{"prompt": f"{name} {n}?", "completion": " ".join([f"{name}{n}"] * (words + n % 2))} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prepare(out: Path, tokenizer: Path, sources: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    """The ledger of a dataset, once it is proven."""
    least = {"tokenizer": str(tokenizer), "sources": sources, "out": {"path": str(out), "shard_tokens": 4000}}
    config = sftdata.parse_config({**least, "pack": {"seq_len": 256}, **more})
    sftdata.prepare(config, workers=1)
    sftdata.verify(out)
    rows: list[dict[str, Any]] = read_ledger(out).to_pylist()
    return rows


def times_in_shards(out: Path, split: str = "train") -> Counter[str]:
    return Counter(
        record
        for path in sorted((out / split).iterdir())
        for row in read_shard(path)["record_ids"].to_pylist()
        for record in row
    )


@pytest.fixture
def sources(tmp_path: Path) -> list[dict[str, Any]]:
    return [
        {"path": str(chats(tmp_path / "a.jsonl", 90, 5, "a"))},
        {"path": str(chats(tmp_path / "b.jsonl", 60, 9, "b"))},
    ]


def test_a_source_gives_its_records_as_often_as_it_is_repeated(
    tiny_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]]
) -> None:
    sources[1]["repeat"] = 3
    out = tmp_path / "out"
    rows = prepare(out, tiny_tokenizer, sources, split={"validation": 0.2})
    times, held = times_in_shards(out), times_in_shards(out, "validation")
    for row in rows:
        repeats = 3 if row["source"].endswith("b.jsonl") and row["split"] == "train" else 1
        assert (times if row["split"] == "train" else held)[row["record_id"]] == len(row["places"]) == repeats
        assert row["turns"] == [[2]] * repeats and len(set(row["digests"])) == 1
        spots = [(place["shard"], place["row"], place["index"]) for place in row["places"]]
        assert len(set(spots)) == repeats
        shard = read_shard(out / spots[0][0])
        assert all(shard["record_ids"][at].as_py()[index] == row["record_id"] for _, at, index in spots)
    assert sum(held.values()) > 5
    total = sum(shard.trained_tokens for shard in sftdata.Manifest.load(out).shards)
    assert total == sum(row["num_trained_tokens"] for row in rows)


def test_weights_are_shares_of_trained_tokens(
    tiny_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]]
) -> None:
    sources[0]["weight"], sources[1]["weight"] = 3, 1
    out = tmp_path / "out"
    rows = prepare(out, tiny_tokenizer, sources)
    tokens: Counter[str] = Counter()
    for row in rows:
        if row["fate"] == "packed":
            tokens[row["source"]] += row["num_trained_tokens"]
            assert len(row["places"]) == 1  # nothing is repeated unless that is asked for
    share, other = (tokens[source["path"]] / sum(tokens.values()) for source in sources)
    mixture = sftdata.Manifest.load(out).mixture
    assert [(entry.asked, entry.got) for entry in mixture] == [(0.75, share), (0.25, other)]
    largest = max(row["num_trained_tokens"] for row in rows if row["num_trained_tokens"])
    assert abs(share - 0.75) * sum(tokens.values()) <= largest
    reasons = Counter((Path(row["source"]).name, row["reason"]) for row in rows)
    assert reasons["a.jsonl", None] == 90  # the scarce one gives all it has
    assert reasons["b.jsonl", "over_weight"] == 60 - reasons["b.jsonl", None] > 0


def test_a_source_gives_no_more_than_max_records_held_out_ones_included(
    tiny_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]]
) -> None:
    sources[0]["max_records"] = 40
    rows = prepare(tmp_path / "out", tiny_tokenizer, sources, split={"validation": 0.3})
    reasons = Counter((Path(row["source"]).name, row["reason"]) for row in rows)
    assert reasons == {("a.jsonl", None): 40, ("a.jsonl", "over_max_records"): 50, ("b.jsonl", None): 60}
    assert {row["split"] for row in rows if row["fate"] == "packed"} == {"train", "validation"}


def test_workers_and_sizes_of_pieces_change_no_byte_of_a_mixture(
    tiny_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]], worker_pids: set[int]
) -> None:
    sources[0].update(weight=0.5, repeat=4)
    sources[1].update(weight=0.5, repeat=2, max_records=50)
    made = []
    for number, (workers, unit_bytes, piece_rows) in enumerate(((1, 1 << 20, 4096), (2, 700, 3))):
        out = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read, "UNIT_BYTES", unit_bytes)
            patch.setattr(engine, "MAX_PIECE_ROWS", piece_rows)
            config = {"tokenizer": str(tiny_tokenizer), "sources": sources, "pack": {"seq_len": 256}}
            out_settings = {"path": str(out), "shard_tokens": 2000}
            sftdata.prepare(sftdata.parse_config({**config, "out": out_settings}), workers=workers)
        assert bool(worker_pids) == (workers > 1)
        sftdata.verify(out)
        made.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert made[0] == made[1]
    assert max(times_in_shards(tmp_path / "0").values()) > 1


def test_weights_for_some_sources_only_are_refused_before_anything_is_read(
    tiny_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]]
) -> None:
    sources[0]["weight"] = 1
    with pytest.raises(ConfigError, match=r"sources\.1\.weight"):
        prepare(tmp_path / "out", tiny_tokenizer, sources)


@pytest.mark.parametrize(
    ("repeat", "sentence"), [(1, "its turn 2 is trained twice"), (2, "it is in the shards 3 times")]
)
def test_verify_refuses_more_copies_than_the_settings_say(
    tiny_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]], repeat: int, sentence: str
) -> None:
    out = tmp_path / "out"
    prepare(out, tiny_tokenizer, [{**sources[0], "repeat": 3}])
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["config"]["sources"][0]["repeat"] = repeat
    write_manifest(out, manifest)
    with pytest.raises(DatasetError, match=sentence):
        sftdata.verify(out)
