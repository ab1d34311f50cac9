"""`sftdata diff` and ds.diff: rows that came, went or changed, tokens of sources, settings and templates."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from found_rows import ROWS, chat, prepare
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from sftdata.view.dataset import open_dataset
from sftdata.view.find.compare.diff import Change, Diff
from sftdata.view.find.compare.keys import joined
from sftdata.view.find.compare.lines import diff_lines
from sftdata.view.layout import plain

LATER = {
    "data/chats.jsonl": [
        chat("New?", "New."),  # came, and all others move one line down
        *ROWS["data/chats.jsonl"][:6],  # the last one, chats.jsonl:7, went
    ],
    "more.jsonl": [ROWS["more.jsonl"][0], chat("Count to 9.", "No."), ROWS["more.jsonl"][2]],  # another answer
}


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """The same rows but for a few, without near-deduplication."""
    return prepare(tmp_path_factory.mktemp("later"), tiny_tokenizer, LATER, dedup={})


@pytest.fixture
def diff(prepared: Path, later: Path) -> Diff:
    return open_dataset(prepared).diff(later)


def test_rows_are_found_again_in_other_lines_and_each_change_is_named(diff: Diff) -> None:
    packed = "packed in train"
    assert diff.changes == (
        Change("fate", "dropped: near_duplicate", packed, 1, ("chats.jsonl:5",)),
        Change("content", packed, packed, 1, ("more.jsonl:2",)),
        Change("came", None, packed, 1, ("chats.jsonl:1",)),
        Change("went", packed, None, 1, ("chats.jsonl:7",)),
    )
    assert diff.same_rows == 7
    assert not diff.is_same and not diff.same_shards


def test_the_rows_that_changed_are_a_table(diff: Diff) -> None:
    packed = "packed in train"
    assert {tuple(row.values()) for row in diff.to_arrow().to_pylist()} == {
        ("fate", "chats.jsonl:4", "chats.jsonl:5", "dropped: near_duplicate", packed),
        ("content", "more.jsonl:2", "more.jsonl:2", packed, packed),
        ("came", None, "chats.jsonl:1", None, packed),
        ("went", "chats.jsonl:7", None, packed, None),
    }


def test_sources_have_rows_and_tokens_before_and_after(diff: Diff, prepared: Path, later: Path) -> None:
    chats, more = diff.sources
    assert (chats.source, chats.rows, chats.packed) == ("data/chats.jsonl", (7, 7), (4, 5))
    assert (more.source, more.rows, more.packed) == ("more.jsonl", (3, 3), (3, 3))
    tokens = [int(open_dataset(one).samples.where(source="more.jsonl").num_tokens.sum()) for one in (prepared, later)]
    assert more.tokens == tuple(tokens)


def test_settings_that_differ_are_named(diff: Diff) -> None:
    assert ("dedup.near.threshold", 0.7, None) in diff.settings
    assert (diff.template, diff.tokenizers, diff.versions) == (None, None, ())


def test_a_dataset_does_not_differ_from_itself(prepared: Path) -> None:
    assert open_dataset(prepared).diff(prepared).is_same
    code, output, _ = call("diff", prepared, prepared)
    assert code == 0
    assert " ".join(output.split()) == f"{prepared} and {prepared} are the same: 10 rows, settings, template and shards"


def test_the_exit_code_is_that_of_diff(prepared: Path, later: Path, tmp_path: Path) -> None:
    assert call("diff", prepared, later)[0] == 1
    code, output, error = call("diff", prepared, tmp_path)
    assert (code, output) == (2, "") and "contains no manifest.json" in error
    assert call("diff", prepared)[0] == 2
    assert call("diff", prepared, later, "--nothing")[0] == 2


def test_json_has_every_row_that_changed(prepared: Path, later: Path) -> None:
    code, output, _ = call("diff", prepared, later, "--json")
    found = json.loads(output)
    assert code == 1 and found["same"] is False and found["same_rows"] == 7
    assert len(found["rows"]) == 4
    assert found["changes"][0] == {
        "what": "fate",
        "before": "dropped: near_duplicate",
        "after": "packed in train",
        "rows": 1,
        "examples": ["chats.jsonl:5"],
    }


def test_another_template_is_shown_by_its_lines_and_other_lengths_by_rows(
    prepared: Path, tmp_path: Path, tiny_tokenizer: Path
) -> None:
    template = (tiny_tokenizer / "chat_template.jinja").read_text()
    (tmp_path / "other.jinja").write_text("{{ '' }}\n" + template.replace("+ '\\n' + message", "+ '\\n\\n' + message"))
    other = prepare(tmp_path, tiny_tokenizer, template="other.jinja")
    diff = open_dataset(prepared).diff(other)
    assert diff.template is not None and "+{{ '' }}" in diff.template
    assert [(change.what, change.rows) for change in diff.changes] == [("tokens", 7)]
    assert "the chat templates differ" in str(diff)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_text_fits_the_width_and_breaks_no_word(diff: Diff, prepared: Path, later: Path, width: int) -> None:
    lines = plain(diff_lines(diff, width))
    words = set(re.findall(r"[\w./:]+", str(diff)))
    paths = (str(prepared), str(later))  # which are in one piece, however long
    shown = [line for line in lines if not line.startswith(paths)]
    assert set(re.findall(r"[\w./:]+", " ".join(shown))) <= words | {"first", "first:"}
    assert all(Console().measure(line).maximum <= width for line in shown)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 12), unique=True), st.lists(st.integers(0, 12), unique=True))
def test_keys_are_joined_as_sets_are(ours: list[int], theirs: list[int]) -> None:
    arrays = [np.array([[key // 3, key % 3] for key in keys], np.uint64).reshape(-1, 2) for keys in (ours, theirs)]
    a, b = joined(*arrays)
    expected = [(at, theirs.index(key) if key in theirs else -1) for at, key in enumerate(ours)]
    expected += [(-1, at) for at, key in enumerate(theirs) if key not in ours]
    assert list(zip(a.tolist(), b.tolist())) == expected
