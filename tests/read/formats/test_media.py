"""Columns of pictures, sound, video and documents are known by what is in them; paths under plain names are unused."""

from __future__ import annotations

import base64
import json

import pytest

from sftdata.read.formats.convert import Converted, RowFormat, convert
from sftdata.read.formats.plain import plain_row
from sftdata.records.record import Drop, Record

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
PNG, JPEG = b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(50)
WAV, MP4, PDF = (
    b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40),
    b"\x00\x00\x00\x18ftypmp42" + bytes(40),
    b"%PDF-1.7" + bytes(40),
)


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def read(name: str, value: object) -> Converted:
    row = {**CHAT, name: value}
    found = convert(row, RowFormat("auto"))
    plain = plain_row(row, RowFormat("auto"))
    assert plain is None or plain[1] == found.unused, "the two paths differ"
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("png", PNG),
        ("x", JPEG),
        ("x", as_text(PNG)),
        ("note", as_text(JPEG)),
        ("blob_b64", as_text(WAV)),
        ("clip64", as_text(MP4)),
        ("x", f"data:image/png;base64,{as_text(PNG)}"),
        ("image_base64", "abcd"),
        ("x", {"bytes": PNG, "path": "a.png"}),
        ("x", {"bytes": None, "path": "a.png"}),
        ("x", [{"bytes": as_text(JPEG)}]),
        ("meta", {"id": 7, "shots": [{"thumb": PNG}]}),
        ("meta", {"id": 7, "thumb": as_text(JPEG)}),
        ("x", {"array": [0.5, 0.1], "sampling_rate": 16000}),
        ("audio_array", [0.25] * 64),
        ("waveform", [[0.25] * 32] * 2),
        ("image", [[[0, 1, 2]] * 8] * 8),
        ("pixel_values", [[1, 2], [3, 4]]),
        ("log_mel_spectrogram", [[0.5] * 80]),
        ("audio_tokens", [1] * 100),
        ("video_url", "https://example.org/watch"),
    ],
)
def test_pictures_sound_and_video_cannot_be_trained_on(name, value):
    assert read(name, value).found == Drop(
        "untrainable_content",
        f"its column {name!r} holds pictures, sound or video, which cannot be trained on; name the column in keep to "
        "train on the text alone",
    )


@pytest.mark.parametrize("value", [PDF, as_text(PDF), {"bytes": PDF, "path": "a.pdf"}])
def test_a_document_is_called_by_its_name(value):
    found = read("scan", value).found
    assert isinstance(found, Drop)
    assert found.detail.startswith("its column 'scan' holds a PDF document, which cannot be trained on")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thumbnail", "https://example.org/a.png"),
        ("source", "photos/a.png"),
        ("image_id", "a7"),
        ("image_size", [640, 480]),
        ("num_images", 2),
        ("images", 2),
        ("image_ids", [1, 2, 3]),
        ("caption", "data: see the table"),
        ("note", "/9j/ is how a JPEG begins"),
        ("sha256", "ab" * 32),
        ("title", "AAAA" * 20),
        ("score_array", [0.5] * 10),
        ("meta", {"id": "/9j/", "path": "a/b.txt", "tags": ["data", "AAAA"], "url": None}),
        ("has_audio", True),
    ],
)
def test_metadata_and_text_are_unused_columns(name, value):
    found = read(name, value)
    assert isinstance(found.found, Record), found
    assert found.unused == (name,)


@pytest.mark.parametrize(
    ("value", "reasoning"),
    [
        ({"text": "1+1"}, "1+1"),
        ({"content": "1+1", "signature": "x9"}, "1+1"),
        ({"summary": [{"type": "summary_text", "text": "1+1"}]}, "1+1"),
        ([{"text": "1"}, {"content": "+1"}], "1+1"),
        ({"thoughts": "1+1", "tokens": 3}, "1+1"),
    ],
)
def test_reasoning_in_an_object_is_its_text_also_as_json(value, reasoning):
    for given in (value, json.dumps(value), str(value)):
        row = {"messages": [CHAT["messages"][0], {**CHAT["messages"][1], "reasoning": given}]}
        found = convert(row, RowFormat("auto")).found
        assert isinstance(found, Record), found
        assert found.messages[1].reasoning == reasoning


def test_reasoning_beside_another_text_in_one_object_is_refused():
    row = {"messages": [CHAT["messages"][0], {**CHAT["messages"][1], "reasoning": {"text": "1+1", "plan": "add"}}]}
    assert convert(row, RowFormat("auto")).found == Drop("wrong_type", "turn 2: its reasoning is an object, not text")


@pytest.mark.parametrize("text", ['{"a": 1}', "[1] and [2]", "{x} is a set", '{"text": 3}', "[]x"])
def test_reasoning_that_only_looks_like_json_stays_text(text):
    row = {"messages": [CHAT["messages"][0], {**CHAT["messages"][1], "reasoning": text}]}
    found = convert(row, RowFormat("auto")).found
    assert isinstance(found, Record) and found.messages[1].reasoning == text
