"""Tokens as HTML: text with what is trained marked, and each token an element that names its id.

    <s i=4052> text</s>     a token that begins with a space
    <u i=198>...</u>        one that is a line break
    <q i=216>   </q>        one that is several spaces
    <b i=1234>more</b>      any other
    <kbd i=1>...</kbd>      a control token
    <mark>...</mark>        around those that are trained

Tags are short and positions are counted by the stylesheet, so that a sequence of 2,048 tokens is a small page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sftdata.records.labels import IGNORE
from sftdata.safe.control_chars import html_safe
from sftdata.view.decoder import TokenSpan
from sftdata.view.html.text import readable, token_text

if TYPE_CHECKING:
    from sftdata.view.sample import Sample

NOT, PARTLY, WHOLLY = 0, 1, 2  # trained


class Shown(NamedTuple):
    """A token of a sample, or several that share a character, as it is shown."""

    span: TokenSpan
    trained: int
    is_control: bool


def shown_tokens(sample: Sample) -> list[Shown]:
    """The tokens of a sample, in order."""
    shown = []
    for span in sample.spans():
        flags = [label != IGNORE for label in sample.labels[span.start : span.end]]
        is_control = span.end - span.start == 1 and sample.input_ids[span.start] in sample.control_ids
        shown.append(Shown(span, WHOLLY if all(flags) else PARTLY if any(flags) else NOT, is_control))
    return shown


def tokens_html(sample: Sample, tokens: Sequence[Shown], with_ids: bool, with_names: bool = True) -> str:
    """Tokens as marked text. With ids each is an element of its own, else only control tokens are. With names, those
    that share a character also have their bytes.
    """
    parts = []
    for trained, run in _runs(tokens):
        text = "".join(_with_id(sample, one, with_names) for one in run) if with_ids else _without_ids(run)
        kind = {NOT: "", PARTLY: "<mark class=p>", WHOLLY: "<mark>"}[trained]
        parts.append(f"{kind}{text}</mark>" if kind else text)
    return "".join(parts)


def _runs(tokens: Sequence[Shown]) -> Iterator[tuple[int, list[Shown]]]:
    run: list[Shown] = []
    for one in tokens:
        if run and run[-1].trained != one.trained:
            yield run[0].trained, run
            run = []
        run.append(one)
    if run:
        yield run[0].trained, run


def _without_ids(run: Sequence[Shown]) -> str:
    parts, text = [], ""
    for one in run:
        if one.is_control:
            parts += [readable(text), f"<kbd>{readable(one.span.text)}</kbd>"]
            text = ""
        else:
            text += one.span.text
    return "".join([*parts, readable(text)])


def _with_id(sample: Sample, one: Shown, with_names: bool) -> str:
    span = one.span
    text = span.text
    is_spaces = len(text) > 1 and not text.strip(" ")
    tag = "kbd" if one.is_control else "u" if text == "\n" else "q" if is_spaces else "b"
    tag = "s" if tag == "b" and text[:1] == " " != text[1:2] else tag
    if span.end - span.start == 1 and text:
        return f"<{tag} i={sample.input_ids[span.start]}>{token_text(text)}</{tag}>"
    return f"<{tag} {_names(sample, one, with_names)}>{token_text(text)}</{tag}>"


def _names(sample: Sample, one: Shown, with_names: bool) -> str:
    """The attributes of tokens that share a character, or of one without text: ids, how many they are, labels if some
    are trained and some not, and vocabulary entries.
    """
    span = one.span
    ids = sample.input_ids[span.start : span.end]
    number = "" if len(ids) == 1 else f" n={len(ids)}" if len(ids) <= 4 else f' style="counter-increment:t {len(ids)}"'
    empty = "" if span.text else " class=e"
    labels = f' l="{" ".join(map(str, sample.labels[span.start : span.end]))}"' if one.trained == PARTLY else ""
    entries = " · ".join(sample.decoder.name(id_) for id_ in ids)
    names = f' d="{html_safe(entries)}"' if with_names else ""
    return f'i="{" ".join(map(str, ids))}"{number}{empty}{labels}{names}'
