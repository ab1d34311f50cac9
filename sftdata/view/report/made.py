"""The parts of a report on how a dataset was made: its settings, what was proven of its template, hashes, versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sftdata.errors import pluralize
from sftdata.reasons import REASONS
from sftdata.store.manifest import HASH_KEY, Manifest, read_payload
from sftdata.view.dataset import Dataset
from sftdata.view.decoder import Decoder
from sftdata.view.html.card import part_html
from sftdata.view.html.cells import split_settings
from sftdata.view.html.tables import Cell, facts_table, number_cell, paged_table, settings_tables
from sftdata.view.html.text import code
from sftdata.view.report.texts import cut

MAX_SHOWN, MAX_CHARS = 12, 200  # prompts or tokens, and characters of each


def settings_html(manifest: Manifest) -> str:
    """The settings that differ from the defaults; the others are folded."""
    return settings_tables(*split_settings(manifest))


def template_html(dataset: Dataset, manifest: Manifest) -> str:
    """What was proven of the template, with the prompts and ends that were found. `manifest` has the names to show."""
    if manifest.template is None:
        return "<p>All sources are plain text: no template writes them, and all but their first token is trained.</p>"
    cut_off = ", or to where it was cut off" if manifest.parts.overlong == "truncate" else ""
    said = (
        f"Of all {pluralize(dataset.num_samples, 'sample')}: what is trained was compared, token by token, with what "
        "the chat template writes behind the prompt that a server would give, up to and including the token that ends "
        f"the turn{cut_off}. Nothing else is trained, and no text of a message became a control token. A conversation "
        "of which that cannot be proven is dropped with a reason. "
    )
    said += f"{code('sftdata verify')} checks prompts, ends and masks again from the files alone."
    text_sources = sorted(manifest.text_sources)
    if text_sources:
        said += f" Plain text, without a template: {', '.join(map(code, text_sources[:MAX_SHOWN]))}."
    return f"<p>{said}</p>{facts_table(_proven(dataset.decoder, manifest))}{_left_out(manifest)}"


def _proven(decoder: Decoder, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What is known of the template: names, and HTML."""
    tokenizer, template = manifest.tokenizer, manifest.template
    assert template is not None, "a dataset with a template"
    own = "the tokenizer's own" if template.source == "auto" else code(template.source)
    yield "template", f"{own}, sha256 {code(template.sha256)}"
    yield "tokenizer", f"{code(tokenizer.source)}, sha256 {code(tokenizer.sha256)}"
    prompts = [decoder.decode(list(ids)) for ids in tokenizer.generation_prompts]
    if prompts:
        yield "directly before each trained turn", _some(prompts)
    if tokenizer.end_of_turn_ids:
        yield "a trained turn ends in", _some([decoder.decode([id_]) for id_ in tokenizer.end_of_turn_ids])
    if tokenizer.answer_control_ids:
        yield (
            "written inside answers by the template",
            _some([decoder.decode([id_]) for id_ in tokenizer.answer_control_ids]),
        )
    if manifest.encoding is not None:
        yield "tokenized with", f"{code(manifest.encoding.encoder)} (all encoders give the same ids)"


def _some(texts: Sequence[str]) -> str:
    """The first of some texts, and how many there are more."""
    more = len(texts) - MAX_SHOWN
    shown = " ".join(code(cut(text, MAX_CHARS)) for text in texts[:MAX_SHOWN])
    return f"{shown} and {more:,} more" if more > 0 else shown


def _left_out(manifest: Manifest) -> str:
    """Conversations and turns of which it was not proven, by reason."""
    rows = [(reason, number, "row") for reason, number in manifest.counts.dropped.get("encode", {}).items()]
    if manifest.encoding is not None:
        rows += [(reason, number, "turn") for reason, number in manifest.encoding.left_out.items()]
    if not rows:
        return "<p>No row was dropped for what the template does with it, and no turn was left out.</p>"
    cells = (
        [Cell(reason), number_cell(number), Cell(noun if number == 1 else f"{noun}s"), Cell(_meaning(reason))]
        for reason, number, noun in rows
    )
    table = paged_table(("reason", "number", "of", "what it means"), cells, total=len(rows), noun="reason", wide=(3,))
    return f"<p>Not proven, so dropped (rows) or left out (turns of rows that are trained without them):</p>{table}"


def _meaning(reason: str) -> str:
    return REASONS.get(reason, ("", ""))[1]


def hashes_html(dataset: Dataset) -> str:
    """The hashes that identify a dataset, its files, and the versions of the programs that wrote it."""
    manifest = dataset.manifest
    stated = read_payload(dataset.path).get(HASH_KEY)
    hashes = [("dataset hash, of the shards", code(manifest.dataset_hash))]
    hashes += [("manifest hash", code(stated))] if isinstance(stated, str) else []
    hashes.append(("seed", f"{manifest.seed:,}"))
    files = manifest.listed_files()
    rows = ([Cell(one.path), number_cell(one.size_bytes), Cell(one.sha256)] for one in files)
    listed = paged_table(("file", "bytes", "sha256"), rows, total=len(files), noun="file", more="manifest.json has all")
    versions = ([Cell(name), Cell(version)] for name, version in manifest.versions.items())
    programs = paged_table(("program", "version"), versions, total=len(manifest.versions), noun="program")
    again = "The same data, settings and versions give the same hashes, with any number of workers."
    return f"<p>{again}</p>{facts_table(hashes)}{part_html('Files')}{listed}{part_html('Versions')}{programs}"
