"""Every value of a raw row, of any shape, is in a sample, named by the drop, or counted: with every template here.

test_nothing_is_lost.py is about records; this is about the whole way from a row to the tokens.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from families import SHARED, TEMPLATES
from sentinel_rows import MEDIA, REASONING, SHAPES, marked, sentinels

from sftdata.config import SourceConfig
from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.read.stage import row_of
from sftdata.read.units import RawRow
from sftdata.records.record import Drop, Record

NAMES = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
# The words of a count, or of a drop, for a value below this key.
CALLED = {
    "id": ("call ids",),
    "tool_call_id": ("a tool_call_id",),
    "name": ("a name", "tools", "tool calls"),
    "tool_calls": ("tool calls", "tool_calls"),
    "answers": ("tool calls", "tool_calls"),
    "system": ("system",),
    **dict.fromkeys(REASONING, ("reasoning",)),
}


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with the markers of all families."""
    return tiny_tokenizers.build("byte_level", tmp_path_factory.mktemp("rows_lose_nothing"))


@cache
def encoder_of(folder: Path, template: str, lost_context: Any) -> RecordEncoder:
    """An encoder, kept for all tests of this module."""
    files = load_tokenizer(str(folder))
    return RecordEncoder(EncodeSettings(files=files, template=template, date="2026-01-01", lost_context=lost_context))


def unaccounted(row: dict[str, Any], source: dict[str, Any], encoder: RecordEncoder) -> list[Any]:
    """The values of a row that nothing says anything of; the drop, if it names no field of the row."""
    config = SourceConfig(path="a.jsonl", **source)
    found = row_of(RawRow(1, row, None), config)
    encoder.notes.clear()
    record = Record.from_json((found.record or Record()).to_json())  # as it goes from one stage to the next
    result = found.drop or encoder.encode([record])[0]
    places = list(sentinels(row))
    if isinstance(result, Drop):
        words = {word for _, path in places for key in path for word in (key, *CALLED.get(key, ()))}
        is_named = result.reason != "lost_field" or any(word in (result.detail or "") for word in words)
        return [] if result.detail and is_named else [result]
    text = "".join(encoder.decode(sample.input_ids.tolist()) for sample in result) + str(found.keep)
    said = {*found.unused, *(name for (_, name), rows in encoder.notes.items() if rows)}
    behind = encoder.notes["changes", "unused_messages"]
    missing = [(sentinel, path) for sentinel, path in places if sentinel not in text]
    return [path for sentinel, path in missing if not (_is_said(path, said) or _is_behind(sentinel, row, behind))]


def _is_said(path: tuple[str, ...], said: set[str]) -> bool:
    """Whether a count names the key of a value, or a key that it is below."""
    for name in said:
        what = name.rpartition(": ")[2]
        detail = re.fullmatch("`(.+)` in tools", what)
        key = detail[1] if detail else re.split(r"[^\w-]+", what)[-1]
        if key in path and (detail is None or "tools" in path):
            return True
        if any(what == word for key in path for word in CALLED.get(key, ())):
            return True
        if path[-1] == "content" and what.endswith(" messages"):
            return True
    return False


def _is_behind(sentinel: str, row: dict[str, Any], behind: int) -> bool:
    """Whether a value is in one of the last turns, which are counted as unused."""
    turns = row.get("messages") or []
    return behind > 0 and any(sentinel == found for found, _ in sentinels(turns[-behind:]))


@pytest.mark.parametrize("lost_context", ["drop", "warn"])
@pytest.mark.parametrize("template", NAMES)
def test_every_value_of_a_row_is_written_named_or_counted_by_the_built_in_templates(
    small_folder: Path, template: str, lost_context: str
) -> None:
    encoder = encoder_of(small_folder, template, lost_context)
    lost = {name: unaccounted(marked(row), source, encoder) for name, (row, source) in SHAPES.items()}
    assert {name: paths for name, paths in lost.items() if paths} == {}


@pytest.mark.parametrize("lost_context", ["drop", "warn"])
@pytest.mark.parametrize("name", sorted(SHARED))
def test_every_value_of_a_row_is_written_named_or_counted_by_the_shared_tokenizers(
    shared: Path, name: str, lost_context: str
) -> None:
    encoder = encoder_of(shared / "tokenizers" / name, "auto", lost_context)
    lost = {shape: unaccounted(marked(row), source, encoder) for shape, (row, source) in SHAPES.items()}
    assert {shape: paths for shape, paths in lost.items() if paths} == {}


@pytest.mark.parametrize("name", MEDIA)
def test_a_row_with_a_picture_a_sound_or_a_video_is_dropped_by_the_name_of_its_field(name: str) -> None:
    drop = row_of(RawRow(1, marked(MEDIA[name]), None), SourceConfig(path="a.jsonl")).drop
    assert drop is not None and drop.reason == "untrainable_content"
    assert f"'{name}'" in str(drop.detail)


def test_every_shape_is_trained_by_some_template(small_folder: Path) -> None:
    """So that none of the tests above passes because all rows are dropped."""
    for name, (row, source) in SHAPES.items():
        record = row_of(RawRow(1, marked(row), None), SourceConfig(path="a.jsonl", **source)).record
        assert record is not None, name
        results = [encoder_of(small_folder, template, "warn").encode([record])[0] for template in ("qwen3", "gpt-oss")]
        assert any(not isinstance(result, Drop) for result in results), (name, results)


@pytest.mark.parametrize("template", NAMES)
def test_a_rendered_chat_loses_nothing(small_folder: Path, template: str) -> None:
    turns = (("system", "Qz001zq"), ("user", "Qz002zq"), ("assistant", "Qz003zq"))
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    source = SourceConfig(path="a.jsonl", format="rendered")
    found = row_of(RawRow(1, {"text": text, "note": "Qz004zq"}, None), source)
    assert (found.drop, found.unused) == (None, ("note",))
    assert found.record is not None
    (result,) = encoder_of(small_folder, template, "drop").encode([found.record])
    if isinstance(result, Drop):
        assert result.detail
    else:
        written = "".join(encoder_of(small_folder, template, "drop").decode(one.input_ids.tolist()) for one in result)
        assert all(content in written for _, content in turns)
