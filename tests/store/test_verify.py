"""sftdata.store.verify: a good dataset passes; every corruption is reported, even if all checksums are consistent."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from verification import check_rejected

from sftdata.errors import DatasetError
from sftdata.store import proof
from sftdata.store.verify import DatasetStats, verify

N = -100
TRAIN, VALIDATION = "train/00000-of-00001.arrow", "validation/00000-of-00001.arrow"


def test_a_good_dataset_passes(dataset: Any, tmp_path: Path) -> None:
    stats = verify(dataset.write(tmp_path))
    size_bytes = sum(file.stat().st_size for file in tmp_path.glob("*/*"))
    assert stats == DatasetStats(
        files=6,
        size_bytes=size_bytes,
        rows_read=7,
        packed=5,
        dropped=2,
        rows=3,
        samples=5,
        tokens=72,
        trained_tokens=16,
    )


def test_a_good_dataset_passes_batch_by_batch(dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "BATCH_TOKENS", 1)
    assert verify(dataset.write(tmp_path)).tokens == 72


def test_a_dataset_without_packed_rows_passes(dataset: Any, tmp_path: Path) -> None:
    dataset.shards = {}
    dataset.ledger = [row for row in dataset.ledger if row["reason"] == "bad_json"]
    assert verify(dataset.write(tmp_path)).dropped == 1


def case(corrupt: Callable[[Any], None], sentence: str, id: str) -> Any:
    return pytest.param(corrupt, sentence, id=id)


def labels(row: int, **changes: int) -> Callable[[Any], None]:
    """Change labels of a training row: t11=-100 is token 11 of the row."""

    def corrupt(dataset: Any) -> None:
        for name, label in changes.items():
            at = int(name[1:])
            ids = dataset.shards[TRAIN][row]["input_ids"]
            dataset.replace(row, at, at + 1, [ids[at]], [ids[at] if label else N])

    return corrupt


def shift_labels(dataset: Any) -> None:
    row = dataset.shards[TRAIN][0]
    row["labels"] = [*row["labels"][1:], N]


MASKS = [
    case(shift_labels, "row 0, sample 0 (record aa): token 10 has the id 6 but the label 12", "labels shifted by one"),
    case(
        labels(0, t10=1),
        "sample 0 (record aa): token 10 starts a trained run, but there is no generation",
        "starts too early",
    ),
    case(
        labels(0, t11=0),
        "sample 0 (record aa): token 12 starts a trained run, but there is no generation",
        "starts too late",
    ),
    case(labels(0, t13=0), "token 12 ends a trained run, but its id 13 is not an end-of-turn", "end token not trained"),
    case(labels(0, t14=1), "token 14 ends a trained run, but its id 6 is not an end", "trained newline after the end"),
    case(
        lambda d: d.replace(0, 13, 14, [], []),
        "row 0, sample 0 (record aa): token 12 ends a trained run, but its id 13 is not an end-of-turn token",
        "end token missing",
    ),
    case(
        lambda d: d.replace(0, 12, 13, [3], [3]),
        "token 12 is an end-of-turn token (3) in the middle of a trained run",
        "two end tokens",
    ),
    case(
        lambda d: d.replace(0, 12, 12, [31], [31]),
        "token 12 is a control token (31) that the template never writes in answers",
        "an extra control token in an answer",
    ),
    case(labels(1, t10=0, t11=0, t22=0, t23=0, t24=0), "row 1, sample 0 (record cc): no token is trained", "no label"),
    case(
        lambda d: d.replace(0, 0, 11, d.shards[TRAIN][0]["input_ids"][:11], d.shards[TRAIN][0]["input_ids"][:11]),
        "row 0, sample 0 (record aa): its first token is trained",
        "the whole chat trained",
    ),
    case(
        lambda d: d.replace(0, 8, 11, [4, 6], [N, N]),
        "token 10 starts a trained run, but there is no gen",
        "header cut short",
    ),
    case(lambda d: d.replace(0, 1, 1, [1], [N]), "sample 0 (record aa): token 1 is BOS (1) in the middle", "two BOS"),
    case(lambda d: d.replace(0, 4, 5, [32], [N]), "token 4 has the id 32, outside the vocabulary of 32", "id too high"),
    case(lambda d: d.replace(0, 4, 5, [-1], [N]), "token 4 has the id -1, outside the vocabulary of 32", "negative id"),
    case(
        lambda d: d.replace(1, 25, 26, [6], [6]),
        "row 1, sample 0 (record cc): token 25 ends a trained run",
        "a run up to the border of a text that is trained",
    ),
    case(
        labels(1, t28=0),
        "row 1, sample 1 (record tt): it is plain text, but not all of it is trained",
        "hole in a text",
    ),
    case(
        labels(1, t30=0),
        "row 1, sample 1 (record tt): it is plain text, but not all of it is trained",
        "text cut short",
    ),
    case(
        labels(1, t27=0),
        "row 1, sample 1 (record tt): it is plain text, but not all of it is trained",
        "text starts late",
    ),
    case(
        lambda d: d.manifest.update(config={"sources": [{"path": "chats.jsonl"}, {"path": "notes.txt"}]}),
        "row 1, sample 1 (record tt): token 4 ends a trained run, but its id 7 is not an end-of-turn token",
        "a text source not marked as text",
    ),
]


@pytest.mark.parametrize("row", [0, 1])
def test_every_change_of_a_single_label_is_detected(dataset: Any, tmp_path: Path, row: int) -> None:
    checked = []
    for at, label in enumerate(dataset.shards[TRAIN][row]["labels"]):
        corrupted = copy.deepcopy(dataset)
        labels(row, **{f"t{at}": int(label == N)})(corrupted)
        with pytest.raises(DatasetError):
            verify(corrupted.write(tmp_path / str(at)))
        checked.append(at)
    assert len(checked) == (28, 31)[row]


def set_row(**fields: Any) -> Callable[[Any], None]:
    return lambda dataset: dataset.shards[TRAIN][0].update(fields)


def drop_sample(dataset: Any) -> None:
    row = dataset.shards[TRAIN][0]
    row.update({key: row[key][:15] for key in ("input_ids", "labels")}, seq_lengths=[15], record_ids=["aa"])


def swap_records(dataset: Any) -> None:
    dataset.shards[TRAIN][0]["record_ids"] = ["bb", "aa"]


def double_row(dataset: Any) -> None:
    dataset.shards[TRAIN].append(dataset.shards[TRAIN][0])


ROWS = [
    case(set_row(seq_lengths=[15, 12]), "row 0: has 28 input_ids, but its seq_lengths sum to 27", "short sum"),
    case(set_row(seq_lengths=[28, 0]), "row 0: has an empty sample", "empty sample"),
    case(set_row(seq_lengths=[], record_ids=[]), "row 0: has no samples", "no sample"),
    case(set_row(record_ids=["aa"]), "row 0: has 2 seq_lengths but 1 record_ids", "record missing"),
    case(set_row(labels=[N] * 27), "row 0: has 28 input_ids but 27 labels", "label missing"),
    case(set_row(seq_lengths=None), "has a null in column seq_lengths", "null list"),
    case(set_row(record_ids=["aa", None]), "has a null in column record_ids", "null record id"),
    case(lambda d: setattr(d, "seq_len", 30), "row 1: has 31 tokens, more than seq_len, which is 30", "row too long"),
    case(set_row(seq_lengths=[12, 16]), "row 0, sample 1 (record bb): its first token is trained", "border moved"),
    case(drop_sample, "the row of chats.jsonl:4: its place", "sample missing"),
    case(swap_records, "row 0, sample 0 (record bb): the ledger has record aa in this place", "records swapped"),
    case(double_row, "row 2, sample 0 (record aa): is not in the ledger", "row written twice"),
]


def fate(at: int, **fields: Any) -> Callable[[Any], None]:
    return lambda dataset: dataset.ledger[at].update(fields)


def place(shard: str = TRAIN, row: int = 0, index: int = 0) -> list[dict[str, Any]]:
    return [{"shard": shard, "row": row, "index": index}]


LEDGER = [
    case(fate(0, fate="lost"), "the row of chats.jsonl:1: its fate is 'lost', neither packed nor dropped", "fate"),
    case(fate(0, fate=None), "the row of chats.jsonl:1: its fate is None", "no fate"),
    case(fate(2, where=None), "the row of None: where is null", "no where"),
    case(fate(2, source="x"), "the row of chats.jsonl:3: its source 'x' is not in the config", "source"),
    case(fate(2, reason="bored"), "chats.jsonl:3: dropped for an unknown reason: 'bored'", "unknown reason"),
    case(fate(2, reason=None), "chats.jsonl:3: dropped for an unknown reason: None", "no reason"),
    case(fate(2, stage="pack"), "chats.jsonl:3: bad_json is not a reason of the stage 'pack'", "stage"),
    case(fate(2, places=place()), "chats.jsonl:3: dropped, but with a place in a shard", "dropped with a place"),
    case(fate(0, reason="overlong"), "chats.jsonl:1: packed, but with a reason, 'overlong'", "packed with a reason"),
    case(fate(0, detail="x"), "chats.jsonl:1: packed, but with a detail, 'x'", "packed with a detail"),
    case(fate(0, record_id=None), "chats.jsonl:1: packed, but its record_id is null", "packed without an id"),
    case(fate(0, num_tokens=None), "chats.jsonl:1: packed, but its num_tokens is null", "packed without tokens"),
    case(fate(0, places=[]), "chats.jsonl:1: packed, but without a place in a shard", "packed without a place"),
    case(fate(0, duplicate_of="chats.jsonl:2"), "chats.jsonl:1: packed, but with duplicate_of", "packed duplicate"),
    case(fate(4, duplicate_of=None), "chats.jsonl:5: a duplicate, but duplicate_of is null", "duplicate of null"),
    case(
        fate(4, duplicate_of="chats.jsonl:99"), "a duplicate of chats.jsonl:99, which does not exist", "duplicate of 99"
    ),
    case(fate(0, places=place("train/x.arrow")), "chats.jsonl:1: its place {'shard': 'train/x.arrow'", "no such shard"),
    case(fate(0, places=place(row=9)), "row 1, sample 0 (record cc): is not in the ledger", "no such row"),
    case(fate(0, places=place(row=0, index=0)), "has no sample, or the sample of another row", "one place for two"),
    case(fate(0, split="validation"), "chats.jsonl:1: its place is in a shard of another split", "split"),
    case(fate(0, num_tokens=25), "chats.jsonl:1: num_tokens is 25, but its samples have 26", "tokens"),
    case(fate(0, num_trained_tokens=6), "chats.jsonl:1: num_trained_tokens is 6, but its samples have 5", "trained"),
    case(lambda d: d.ledger.pop(3), "row 0, sample 1 (record bb): is not in the ledger", "a packed row missing"),
    case(
        lambda d: d.ledger.append(d.ledger[1]),
        "has 2 rows of chats.jsonl:2 in chats.jsonl, which was read once",
        "a row twice",
    ),
]


def manifest(**fields: Any) -> Callable[[Any], None]:
    return lambda dataset: dataset.manifest.update(fields)


def with_example(where: str) -> Callable[[Any], None]:
    """The right counts, with another example of a reason."""

    def change(dataset: Any) -> None:
        counts = dataset.counts()
        dataset.manifest["counts"] = {**counts, "examples": {**counts["examples"], "bad_json": where}}

    return change


def tokenizer(**fields: Any) -> Callable[[Any], None]:
    return lambda dataset: dataset.tokenizer.update(fields)


COUNTS = {"rows_read": 8, "packed": 6, "dropped": {"read": {"bad_json": 1}, "dedup": {"duplicate": 1}}}
MANIFEST = [
    case(
        manifest(counts={**COUNTS, "rows_read": 9}),
        "9 rows read do not equal 6 packed and 2 dropped",
        "counts do not add",
    ),
    case(manifest(counts=COUNTS), "its counts differ from the ledger's", "counts of another ledger"),
    case(with_example("chats.jsonl:77"), "its counts differ from the ledger's", "another row as an example"),
    case(manifest(dataset_hash="0" * 64), "dataset_hash is not the hash of the shards' checksums", "dataset hash"),
    case(
        manifest(packing={"strategy": "best_fit", "rows": 3, "fill": 0.9}), "packing states 3 rows with a fill", "fill"
    ),
    case(
        manifest(packing={"strategy": "none", "rows": 3, "fill": 72 / 96}),
        "packing.strategy is none, but there are more samples than rows",
        "strategy",
    ),
    case(manifest(template={"source": "auto", "sha256": "0" * 64}), "template.sha256 is not the checksum", "template"),
    case(manifest(ledger=[]), "lists no ledger", "no ledger"),
    case(tokenizer(sha256="0" * 64), "tokenizer.sha256 is not the checksum of tokenizer/tokenizer.json", "tokenizer"),
    case(
        tokenizer(vocab_size=33),
        "tokenizer.vocab_size is 33, but the vocabulary of tokenizer/tokenizer.json has 32",
        "vocabulary",
    ),
    case(tokenizer(eos_id=32), "tokenizer lists the id 32, outside its vocabulary of 32", "special id"),
    case(tokenizer(generation_prompts=[[2, 40]]), "tokenizer lists the id 40, outside its", "generation prompt"),
    case(tokenizer(end_of_turn_ids=[]), "its id 3 is not an end-of-turn token", "no end-of-turn token"),
    case(
        lambda d: d.tokenizer_json.pop("model"),
        "is not in a tokenizer format that sftdata supports",
        "tokenizer without model",
    ),
]


@pytest.mark.parametrize(("corrupt", "sentence"), [*MASKS, *ROWS, *LEDGER, *MANIFEST])
def test_a_wrong_mask_row_fate_or_manifest_is_reported_even_if_all_sums_fit(
    dataset: Any, tmp_path: Path, corrupt: Callable[[Any], None], sentence: str
) -> None:
    corrupt(dataset)
    check_rejected(dataset.write(tmp_path), sentence)


@pytest.mark.parametrize("name", ["rows", "samples", "tokens", "trained_tokens"])
def test_a_shard_with_other_counts_than_the_manifest_is_reported(dataset: Any, tmp_path: Path, name: str) -> None:
    folder = dataset.write(tmp_path)
    path = folder / "manifest.json"
    payload = json.loads(path.read_text())
    payload["shards"][0][name] += 1
    fill = sum(shard["tokens"] for shard in payload["shards"]), sum(shard["rows"] for shard in payload["shards"])
    payload["packing"] = {"strategy": "best_fit", "rows": fill[1], "fill": fill[0] / (fill[1] * 32)}
    path.write_text(json.dumps(payload))
    value = payload["shards"][0][name]
    check_rejected(folder, f"has {value - 1} {name}, but the manifest says {value}")


@pytest.mark.parametrize("path", [TRAIN, VALIDATION, "ledger/00000.parquet", "tokenizer/chat_template.jinja"])
def test_a_changed_byte_a_missing_byte_and_a_missing_file_are_reported(dataset: Any, tmp_path: Path, path: str) -> None:
    file = dataset.write(tmp_path) / path
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    check_rejected(tmp_path, f"{path}: does not match its checksum in the manifest")
    file.write_bytes(whole[:-1])
    check_rejected(tmp_path, f"{path}: has {len(whole) - 1} bytes instead of {len(whole)}")
    file.unlink()
    check_rejected(tmp_path, f"{path}: is listed in the manifest, but does not exist")


def test_an_unlisted_file_is_reported_unless_it_is_hidden(dataset: Any, tmp_path: Path) -> None:
    folder = dataset.write(tmp_path)
    (folder / ".work").mkdir()
    (folder / ".work" / "spool").write_text("x")
    (folder / "train" / ".DS_Store").write_text("x")
    verify(folder)
    (folder / "train" / "cache-1.arrow").write_text("x")
    check_rejected(folder, "train/cache-1.arrow: is not in the manifest")


def test_a_shard_in_the_folder_of_another_split_is_reported(dataset: Any, tmp_path: Path) -> None:
    folder = dataset.write(tmp_path)
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"split": "validation"', '"split": "train"'))
    check_rejected(folder, f"{VALIDATION} is not in the folder of its split, train")


def test_a_shard_with_other_columns_is_reported(dataset: Any, tmp_path: Path) -> None:
    folder = dataset.write(tmp_path)
    table = pa.table({"text": ["hello"]})
    with pa.ipc.new_stream(str(folder / TRAIN), table.schema) as writer:
        writer.write_table(table)
    dataset.write_manifest(folder)
    check_rejected(folder, "has the columns text string instead of those of a shard")


def test_a_shard_that_is_not_an_arrow_stream_is_reported(dataset: Any, tmp_path: Path) -> None:
    folder = dataset.write(tmp_path)
    (folder / TRAIN).write_bytes(b"hello, this is not an Arrow stream")
    dataset.write_manifest(folder)
    check_rejected(folder, "cannot be read as an Arrow stream")


def test_a_shard_with_offsets_out_of_bounds_is_reported_and_not_read(dataset: Any, tmp_path: Path) -> None:
    folder = dataset.write(tmp_path)
    data = (folder / TRAIN).read_bytes()
    offsets = b"".join(n.to_bytes(4, "little") for n in (0, 28, 59))
    assert offsets in data
    wild = b"".join(n.to_bytes(4, "little") for n in (0, 28, 1 << 30))
    (folder / TRAIN).write_bytes(data.replace(offsets, wild, 1))
    dataset.write_manifest(folder)
    check_rejected(folder, "is corrupt")


def test_a_ledger_without_a_column_is_reported(dataset: Any, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = dataset.write(tmp_path)
    path = folder / "ledger/00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["split"]), path)
    dataset.write_manifest(folder)
    check_rejected(folder, "ledger/00000.parquet: has no column split")


def test_without_generation_prompts_the_rest_is_still_proven(dataset: Any, tmp_path: Path) -> None:
    dataset.tokenizer["generation_prompts"] = []
    labels(0, t11=0)(dataset)
    verify(dataset.write(tmp_path / "late"))
    labels(0, t13=0)(dataset)
    check_rejected(dataset.write(tmp_path / "open"), "token 12 ends a trained run")


def test_any_of_several_generation_prompts_may_precede_a_run(dataset: Any, tmp_path: Path) -> None:
    # Only 9 comes before the second turn of record cc, as if the template wrote no header there.
    dataset.replace(1, 19, 22, [9], [N])
    check_rejected(dataset.write(tmp_path / "one"), "row 1, sample 0 (record cc): token 20 starts a trained run")
    dataset.tokenizer["generation_prompts"] = [[9], [8, 8], [2, 4, 6], [2, 4, 7], list(range(8, 30))]
    verify(dataset.write(tmp_path / "several"))


def test_a_prompt_that_extends_into_the_previous_sample_does_not_count(dataset: Any, tmp_path: Path) -> None:
    dataset.replace(0, 15, 25, [1], [N])  # record bb: BOS, then the answer
    dataset.tokenizer["generation_prompts"] = [[2, 4, 6], [6, 1]]
    check_rejected(dataset.write(tmp_path), "row 0, sample 1 (record bb): token 1 starts a trained run")


def test_control_tokens_that_the_template_writes_in_answers_are_allowed(dataset: Any, tmp_path: Path) -> None:
    dataset.tokenizer["answer_control_ids"] = [31]
    dataset.replace(0, 12, 12, [31], [31])
    verify(dataset.write(tmp_path))


def test_a_record_with_two_samples_is_compared_with_the_sum_of_both(dataset: Any, tmp_path: Path) -> None:
    dataset.shards[TRAIN][0]["record_ids"] = ["aa", "aa"]
    dataset.ledger.pop(3)
    both = {"places": place() + place(index=1), "turns": [[2], [4]]}
    dataset.ledger[1].update(**both, num_tokens=28, num_trained_tokens=5)
    verify(dataset.write(tmp_path / "good"))
    dataset.ledger[1].update(num_tokens=15)
    check_rejected(dataset.write(tmp_path / "bad"), "num_tokens is 15, but its samples have 28")
