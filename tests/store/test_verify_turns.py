"""sftdata.store.verify: trained turns, digests, and truncated samples."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xxhash
from verification import check_rejected

from sftdata.store.verify import verify

N = -100
TRAIN = "train/00000-of-00001.arrow"
CC, AA, BAD, BB, DUPLICATE, VV, TEXT = range(7)  # rows of the ledger
SWAPPED = "is not the sample that was encoded: its tokens or labels have changed"


def fate(at: int, **fields: Any) -> Callable[[Any], None]:
    return lambda dataset: dataset.ledger[at].update(fields)


def places(*indexes: int) -> list[dict[str, Any]]:
    return [{"shard": TRAIN, "row": 0, "index": index} for index in indexes]


def two_samples(*turns: Any) -> Callable[[Any], None]:
    """The first row of the shard has two samples of record aa, with these turns."""

    def corrupt(dataset: Any) -> None:
        dataset.shards[TRAIN][0]["record_ids"] = ["aa", "aa"]
        fate(AA, places=places(0, 1), turns=list(turns), num_tokens=28, num_trained_tokens=5)(dataset)
        dataset.ledger.pop(BB)

    return corrupt


@pytest.mark.parametrize(
    "good",
    [two_samples([2], [4]), two_samples([4], [2]), fate(CC, turns=[[2, 6]]), fate(AA, turns=[[1_000_000]])],
    ids=["two samples", "the later turn first", "a turn between is not trained", "a long conversation"],
)
def test_valid_turns_pass(dataset: Any, tmp_path: Path, good: Callable[[Any], None]) -> None:
    good(dataset)
    verify(dataset.write(tmp_path))


NO_TURN = "one of its places lists no trained turn"
CASES = {
    "turns null": (fate(CC, turns=None), "chats.jsonl:1: packed, but without a trained turn"),
    "no turns": (fate(CC, turns=[]), "chats.jsonl:1: packed, but without a trained turn"),
    "turns of no place": (fate(CC, turns=[[2], [4]]), "chats.jsonl:1: it has 1 places, but 2 turns"),
    "turns of one place missing": (two_samples([2]), "chats.jsonl:2: it has 2 places, but 1 turns"),
    "turns of a place null": (fate(CC, turns=[None]), f"chats.jsonl:1: {NO_TURN}"),
    "turns of a place empty": (two_samples([2, 4], []), f"chats.jsonl:2: {NO_TURN}"),
    "a turn null": (fate(CC, turns=[[2, None]]), "chats.jsonl:1: turns are counted from 1, but it lists 0"),
    "a turn 0": (fate(CC, turns=[[0, 2]]), "chats.jsonl:1: turns are counted from 1, but it lists 0"),
    "a turn twice in one sample": (fate(CC, turns=[[2, 2]]), "chats.jsonl:1: its turn 2 is trained twice"),
    "a turn in two samples": (two_samples([2], [2]), "chats.jsonl:2: its turn 2 is trained twice"),
    "turns out of order": (fate(CC, turns=[[4, 2]]), "chats.jsonl:1: its turn 2 comes after a later one"),
    "another turn of a text": (
        fate(TEXT, turns=[[2]]),
        "notes.txt:1: it is plain text, which is one turn, but it lists turn 2",
    ),
    "two turns of a text": (fate(TEXT, turns=[[1, 2]]), "notes.txt:1: it is plain text, which is one turn"),
    "too many turns": (
        fate(AA, turns=[[2, 4]]),
        "row 0, sample 0 (record aa): has one trained run, but the ledger lists 2 trained turns",
    ),
    "too few turns": (
        fate(CC, turns=[[4]]),
        "row 1, sample 0 (record cc): has 2 runs of trained tokens, but the ledger lists 1 trained turns",
    ),
    "too few turns in the last shard": (
        fate(VV, turns=[[2, 4]]),
        "row 0, sample 0 (record vv): has one trained run, but the ledger lists 2 trained turns",
    ),
    "turns swapped between samples": (
        lambda d: (fate(AA, turns=[[2, 4]])(d), fate(CC, turns=[[2]])(d)),
        "row 0, sample 0 (record aa): has one trained run",
    ),
    "dropped with a turn": (fate(BAD, turns=[[2]]), "chats.jsonl:3: dropped, but with a trained turn"),
    "dropped with a digest": (fate(BAD, digests=["0" * 32]), "chats.jsonl:3: dropped, but with a digest"),
    "digests null": (fate(CC, digests=None), "chats.jsonl:1: packed, but without a digest"),
    "no digests": (fate(CC, digests=[]), "chats.jsonl:1: packed, but without a digest"),
    "a digest missing": (
        lambda d: (two_samples([2], [4])(d), fate(AA, digests=["0" * 32])(d)),
        "chats.jsonl:2: it has 2 places, but 1 digests",
    ),
    "a digest too many": (fate(CC, digests=["0" * 32] * 2), "chats.jsonl:1: it has 1 places, but 2 digests"),
    "a digest null": (fate(CC, digests=[None]), f"row 1, sample 0 (record cc): {SWAPPED}"),
    "a digest of something else": (fate(VV, digests=["0" * 32]), f"row 0, sample 0 (record vv): {SWAPPED}"),
    "a digest cut short": (fate(CC, digests=[""]), f"row 1, sample 0 (record cc): {SWAPPED}"),
}


@pytest.mark.parametrize(("corrupt", "sentence"), CASES.values(), ids=CASES)
def test_wrong_turns_or_digests_are_reported(
    dataset: Any, tmp_path: Path, corrupt: Callable[[Any], None], sentence: str
) -> None:
    corrupt(dataset)
    check_rejected(dataset.write(tmp_path), sentence)


def test_any_change_of_one_id_or_label_is_reported(dataset: Any, tmp_path: Path) -> None:
    """The shard is changed and its sums are updated; the digests are those of the good dataset.

    A label that is neither the id nor -100 is refused even without a digest.
    """
    for row in dataset.ledger:
        if row["fate"] == "packed":
            row["digests"] = [dataset.digest(place) for place in row["places"]]
    verify(dataset.write(tmp_path / "good"))
    for at, row in enumerate(dataset.shards[TRAIN]):
        for column in ("input_ids", "labels"):
            for token, value in enumerate(row[column]):
                row[column][token] = value + 1
                is_shown = column == "labels" or row["labels"][token] != N
                sentence = "but the label" if is_shown else SWAPPED
                check_rejected(dataset.write(tmp_path / f"{at}-{column}-{token}"), sentence)
                row[column][token] = value


def test_swapped_digests_are_reported(dataset: Any, tmp_path: Path) -> None:
    numbers = [1, 2, 5, 6, 14, 3, 6, 2, 4, 6, 15, 3, 6, *[N] * 10, 15, 3, N]  # of record bb, by hand
    of_bb = xxhash.xxh3_128(struct.pack("<26i", *numbers)).hexdigest()
    dataset.ledger[BB]["digests"] = [of_bb]
    verify(dataset.write(tmp_path / "good"))
    dataset.ledger[AA]["digests"] = [of_bb]
    check_rejected(dataset.write(tmp_path / "bad"), f"row 0, sample 0 (record aa): {SWAPPED}")


def truncate(dataset: Any, seq_len: int = 14) -> None:
    """Record vv, with 13 tokens including the end token, becomes a sample of 14 tokens without end token."""
    row = dataset.shards["validation/00000-of-00001.arrow"][0]
    row["input_ids"][11:] = [25, 26, 27]
    row["labels"][11:] = [25, 26, 27]
    row["seq_lengths"] = [14]
    fate(VV, num_tokens=14, num_trained_tokens=4)(dataset)
    # Keep only this row: the others have more than 14 tokens.
    dataset.shards = {path: rows for path, rows in dataset.shards.items() if path != TRAIN}
    dataset.ledger = [fate for fate in dataset.ledger if fate["fate"] == "dropped" or fate["split"] == "validation"]
    dataset.ledger = [fate for fate in dataset.ledger if fate["duplicate_of"] is None]
    dataset.seq_len = seq_len


def overlong(dataset: Any, how: str) -> None:
    sources = [{"path": "chats.jsonl", "format": "auto"}, {"path": "notes.txt", "format": "text"}]
    dataset.manifest["config"] = {"sources": sources, "overlong": how}


OPEN_END = "row 0, sample 0 (record vv): token 13 ends a trained run, but its id 27 is not an end-of-turn token"


def test_a_sample_truncated_at_seq_len_may_end_without_end_token(dataset: Any, tmp_path: Path) -> None:
    truncate(dataset)
    overlong(dataset, "truncate")
    verify(dataset.write(tmp_path))


@pytest.mark.parametrize("how", ["drop", "split"])
def test_without_truncation_no_sample_may(dataset: Any, tmp_path: Path, how: str) -> None:
    truncate(dataset)
    overlong(dataset, how)
    check_rejected(dataset.write(tmp_path), OPEN_END)


def test_a_sample_shorter_than_seq_len_is_not_truncated(dataset: Any, tmp_path: Path) -> None:
    truncate(dataset, seq_len=15)
    overlong(dataset, "truncate")
    check_rejected(dataset.write(tmp_path), OPEN_END)


def test_only_the_last_run_of_a_truncated_sample_may_lack_its_end_token(dataset: Any, tmp_path: Path) -> None:
    truncate(dataset)
    overlong(dataset, "truncate")
    row = dataset.shards["validation/00000-of-00001.arrow"][0]
    row["labels"][13] = N
    fate(1, num_trained_tokens=3)(dataset)
    check_rejected(dataset.write(tmp_path), "token 12 ends a trained run, but its id 26 is not an end-of-turn token")


def test_a_truncated_sample_may_not_end_in_a_foreign_control_token(dataset: Any, tmp_path: Path) -> None:
    truncate(dataset)
    overlong(dataset, "truncate")
    row = dataset.shards["validation/00000-of-00001.arrow"][0]
    row["input_ids"][13] = row["labels"][13] = 31
    check_rejected(
        dataset.write(tmp_path), "token 13 is a control token (31) that the template never writes in answers"
    )


def test_a_plain_text_ends_in_eos_unless_it_is_truncated(dataset: Any, tmp_path: Path) -> None:
    dataset.replace(1, 30, 31, [23], [23])
    sentence = "row 1, sample 1 (record tt): token 4 ends a plain text, but its id 23 is not EOS"
    check_rejected(dataset.write(tmp_path / "drop"), sentence)
    overlong(dataset, "truncate")
    check_rejected(dataset.write(tmp_path / "too short"), sentence)
    row = dataset.shards[TRAIN][1]
    dataset.shards[TRAIN][1] = {
        "input_ids": row["input_ids"][26:],
        "labels": row["labels"][26:],
        "seq_lengths": [5],
        "record_ids": ["tt"],
    }
    del dataset.shards[TRAIN][0], dataset.shards["validation/00000-of-00001.arrow"]
    dataset.ledger = [dataset.ledger[TEXT]]
    dataset.ledger[0]["places"][0].update(row=0, index=0)
    dataset.seq_len = 5
    verify(dataset.write(tmp_path / "cut"))
