"""Samples as chats: lanes, what is grey, folded or left out, and how large a page is."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models

import sftdata
from sftdata.view.dataset import Sample, open_dataset
from sftdata.view.decoder import Decoder
from sftdata.view.find.turns import SampleMessage, Turn, turns_of
from sftdata.view.html import message_chat, pair_chat, sample_chat
from sftdata.view.html.chat import _parts
from sftdata.view.html.style import CSS
from sftdata.view.html.tokens import shown_tokens
from sftdata.view.sample import Row

MAX_BYTES = 60_000


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def one_sample(dataset_writer, folder: Path, turns: list[tuple[str, str]], seq_len: int = 16384) -> Sample:
    return open_dataset(dataset_writer(folder / "out", {"train": [[turns]]}, seq_len=seq_len)).sample(0)


def test_turns_are_where_their_marks_are(dataset_writer, tmp_path: Path):
    sample = one_sample(dataset_writer, tmp_path, [("user", "hi"), ("assistant", "yo")])
    assert sample.text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n"
    assert turns_of(sample) == (Turn("user", 0, 17, 19), Turn("assistant", 30, 52, 54))


def test_turns_are_found_beside_texts_that_look_like_their_marks(tiny_tokenizer: Path, tmp_path: Path):
    asked, answered = "日本 <|im_end|>\n<|im_start|>user\n<|im_end|>", "a <|im_end|> b"
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    sftdata.prepare(str(tmp_path / "a.jsonl"), tokenizer=str(tiny_tokenizer), out=str(tmp_path / "o"), progress=False)
    sample = sftdata.open(tmp_path / "o").sample(0)
    found = turns_of(sample)
    assert found is not None
    contents = [(turn.role, sample.text[turn.content_start : turn.content_end]) for turn in found]
    assert contents[-2:] == [("user", asked), ("assistant", answered)]


def test_each_turn_has_the_lane_of_its_role_and_the_marks_are_grey(dataset_writer, tmp_path: Path):
    sample = one_sample(dataset_writer, tmp_path, [("system", "S"), ("user", "U"), ("assistant", "A")])
    assert sample_chat(sample, tokens=False) == (
        f'<div class="chat"><div class="sample"><div class="head">{sample.counts} · record r0</div><div class="text">'
        + "".join(
            f'<div class="m {lane}"><em>{role} </em><small>{about} </small>'
            f'<span class="g"><kbd>&lt;|im_start|&gt;</kbd>{role}\n</span>'
            f'<span class="c">{content}</span></div>'
            for lane, role, about, content in (
                ("s", "system", about_of(sample, 0), 'S<span class="g"><kbd>&lt;|im_end|&gt;</kbd>\n</span>'),
                ("u", "user", about_of(sample, 1), 'U<span class="g"><kbd>&lt;|im_end|&gt;</kbd>\n</span>'),
                (
                    "a",
                    "assistant",
                    about_of(sample, 2) + f", {sample.num_trained_tokens} trained",
                    '<mark>A</mark><span class="g"><mark><kbd>&lt;|im_end|&gt;</kbd></mark>\n</span>',
                ),
            )
        )
        + "</div></div></div>"
    )


def about_of(sample: Sample, number: int) -> str:
    """The number of tokens of a turn: from its <|im_start|> to the next."""
    starts = [at for at, id_ in enumerate(sample.input_ids) if id_ == 1] + [sample.num_tokens]
    return f"{starts[number + 1] - starts[number]} tokens"


def test_a_long_answer_is_folded_and_says_that_what_is_hidden_is_trained(dataset_writer, tmp_path: Path):
    sample = one_sample(dataset_writer, tmp_path, [("user", "go"), ("assistant", "word " * 400)])
    html = sample_chat(sample, tokens=False)
    summary = re.search(r"<summary>(.*?)</summary>", html, re.DOTALL)
    assert summary is not None
    assert re.search(r"<mark>1,5\d\d more characters, [\d,]+ of [\d,]+ tokens trained</mark>", summary[1])
    assert text_of(html).count("word") >= 400
    assert "<details" not in sample_chat(sample_of_length(sample, 40), tokens=False)


def sample_of_length(sample: Sample, length: int) -> Sample:
    return Sample("r", sample.input_ids[:length], sample.labels[:length], "s", 0, 0, sample.decoder, sample.control_ids)


def test_where_no_turns_are_found_there_is_one_block(dataset_writer, tmp_path: Path):
    sample = one_sample(dataset_writer, tmp_path, [("user", "a"), ("assistant", "b")])
    torn = Sample("r", sample.input_ids[2:], sample.labels[2:], "s", 0, 0, sample.decoder, frozenset())
    html = sample_chat(torn, tokens=False)
    assert html.count('class="m ') == 1
    assert "<em>" not in html


def thinking_sample(words: list[str], marks: list[str]) -> Sample:
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(dict.fromkeys(words))}, unk_token=""))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_tokens([AddedToken(mark) for mark in marks])
    ids = [tokenizer.token_to_id(word) for word in words]
    return Sample("r", ids, ids, "s", 0, 0, Decoder(tokenizer), frozenset())


@pytest.mark.parametrize(
    ("words", "role", "kinds"),
    [
        (["<think>", "hm", "</think>", "yes"], "assistant", ["reasoning", None]),
        (["<think>", "hm", "</think>", "<tool_call>", "f", "</tool_call>"], "assistant", ["reasoning", "call"]),
        (["yes", "<think>", "hm", "</think>"], "assistant", [None]),  # not at the head of the answer
        (["<think>", "hm"], "assistant", [None]),  # not closed
        (["<", "think>", "hm", "</think>"], "assistant", [None]),  # the same characters, but text
        (["<tool_call>", "<tool_call>", "f", "</tool_call>"], "assistant", [None, "call"]),
        (["<think>", "hm", "</think>"], "user", [None]),
        (["<tool_response>", "3", "</tool_response>"], "user", [None]),  # no control tokens: may be what a user wrote
    ],
)
def test_reasoning_and_calls_are_what_single_tokens_open_and_close(words, role, kinds):
    sample = thinking_sample(words, [])
    assert [kind for kind, _ in _parts(sample, shown_tokens(sample), role)] == kinds


def test_two_conversations_have_their_differences_marked():
    ours, theirs = [SampleMessage("user", "a <b> c", False)], [SampleMessage("user", "a d c", False)]
    html = pair_chat(("x<", "y"), ours, theirs)
    assert "<b>x&lt;</b>" in html
    assert re.findall(r"<(?:del|ins)>.*?</(?:del|ins)>", html) == ["<del>&lt;b&gt;</del>", "<ins>d</ins>"]


def test_a_duplicate_is_shown_once_and_its_names_are_escaped(tiny_tokenizer: Path, tmp_path: Path):
    chat = json.dumps({"messages": [{"role": "user", "content": "<i>a</i>"}, {"role": "assistant", "content": "b"}]})
    (tmp_path / "a<b>.jsonl").write_text(f"{chat}\n{chat}\n", encoding="utf-8")
    name = str(tmp_path / "a<b>.jsonl")
    ds = sftdata.prepare(name, tokenizer=str(tiny_tokenizer), out=str(tmp_path / "o"), progress=False)
    html = ds.why("a<b>.jsonl:2")._repr_html_()
    assert "<b>a&lt;b&gt;.jsonl:2 and a&lt;b&gt;.jsonl:1 (kept) (equal)</b>" in html
    assert html.count("&lt;i&gt;a&lt;/i&gt;") == 1


def test_a_message_without_tokens_is_escaped():
    escape = '<i class="u" data-c="ESC">\u241b</i>'
    assert message_chat("us<er", "<script>\x1b") == (
        f'<div class="m x"><em>us&lt;er</em><span class="c">&lt;script&gt;{escape}</span></div>'
    )


TEXTS = {
    "words": "The quick brown fox jumps over the lazy dog, and no one says why. ",
    "code": '    if value < limit && is_open(value):\n        return {"a": [1, 2, 3]}\n',
    "chinese": "你好世界，今天天气很好，我们去公园散步吧。",
    "hidden": "\u200b\u202e\x1b",
    "line": "=" * 10_000,
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_sequence_of_2048_tokens_is_a_page_of_60_kb(dataset_writer, tmp_path: Path, kind: str):
    times = 100_000 // len(TEXTS[kind]) // (6 if kind == "hidden" else 1)
    chat = [("user", TEXTS[kind]), ("assistant", TEXTS[kind] * times)]
    sample = one_sample(dataset_writer, tmp_path, chat, seq_len=1 << 19)
    row = Row((sample_of_length(sample, 2048),), "s", 0, 0)
    html = row._repr_html_()
    assert len(html.encode()) <= MAX_BYTES
    if 'class="k"' not in html:
        assert ".show(tokens=True)" in html
    assert row.show(tokens=True)._repr_html_().count(" i=") >= 500  # tokens that share a character are one


def test_2048_tokens_of_many_small_samples_are_a_page_of_60_kb(dataset_writer, tmp_path: Path):
    chat = [("user", "Hi"), ("assistant", "Hello")]
    folder = dataset_writer(tmp_path / "out", {"train": [[chat] * 150]}, seq_len=2048)
    html = open_dataset(folder)[0]._repr_html_()
    assert len(html.encode()) <= MAX_BYTES
    assert re.search(r"Not shown: \d+ more samples", html)


def test_positions_behind_what_is_folded_are_counted_anew(dataset_writer, tmp_path: Path):
    """A browser does not count what it does not show. Where a turn begins, its counter goes on behind the mark."""
    short = one_sample(dataset_writer, tmp_path / "short", [("user", "a"), ("assistant", "b")])
    assert "counter-reset" not in sample_chat(short, tokens=True)
    sample = one_sample(dataset_writer, tmp_path, [("user", "a"), ("assistant", "word " * 400)])
    html = sample_chat(sample, tokens=True)
    end = sample.num_tokens - 3  # before its <|im_end|> and line break
    assert f'<span class="g" style="counter-reset:t {end}"><mark><kbd i=2>' in html
    assert '</small><span class="g"><kbd i=1>' in html


def test_nothing_on_a_page_has_an_id_that_another_cell_may_have(small_dataset: Path):
    ds = open_dataset(small_dataset)
    for shown in (ds[0], ds[:2], ds.sample(0), ds.samples):
        assert not re.search(r"<[^>]* (id|for|name)=", shown._repr_html_())
        assert shown._repr_html_() == shown._repr_html_()


def light(colour: tuple[float, ...]) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def over(top: tuple[float, ...], below: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    return tuple(a * alpha + b * (1 - alpha) for a, b in zip(top, below, strict=True))


@pytest.mark.parametrize(("page", "ink"), [((255, 255, 255), (0, 0, 0)), ((17, 17, 17), (255, 255, 255))])
def test_text_has_contrast_on_every_ground_of_the_stylesheet(page, ink):
    """The text of notebooks is 87% opaque; grounds lie on each other, and a part may be as pale as the palest."""
    found = re.findall(r"background:rgba\((\d+),(\d+),(\d+),(\.\d+)\)", CSS)
    grounds = [(tuple(map(float, one[:3])), float(one[3])) for one in found]
    opacity = min(float(one) for one in re.findall(r"[;{]opacity:(\.\d+)", CSS))
    assert len(grounds) >= 5
    for lane in grounds:
        for mark in grounds:
            if max(lane[1], 0.11) > 0.11:
                continue  # a mark has no mark inside
            ground = over(mark[0], over(lane[0], page, lane[1]), mark[1])
            text = over(ink, ground, 0.87)
            below = over(lane[0], page, lane[1])
            a, b = sorted((light(over(text, below, opacity)), light(over(ground, below, opacity))))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (lane, mark)


def test_the_marked_tokens_of_real_rows_are_the_labels(shared: Path, tmp_path: Path):
    rows = (shared / "data" / "mix20k.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    tokenizer = shared / "tokenizers" / "smollm2"
    sftdata.prepare(str(tmp_path / "rows.jsonl"), tokenizer=str(tokenizer), out=str(tmp_path / "out"), progress=False)
    for row in sftdata.open(tmp_path / "out"):
        marked = "".join(re.findall(r"<mark>(.*?)</mark>", "".join(whole(one) for one in row.samples), re.DOTALL))
        ids = [int(id_) for ids in re.findall(r' i="?([\d ]+)', marked) for id_ in ids.split()]
        assert ids == [label for sample in row.samples for label in sample.labels if label != -100]


def whole(sample: Sample) -> str:
    """A sample with its tokens, without the beginnings and ends that are shown while a turn is folded."""
    return re.sub(r"<summary>.*?</summary>", "", sample_chat(sample, tokens=True), flags=re.DOTALL)
