"""Encoding in `prepare`: the tokenizer and chat template of a run, and the samples of its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sftdata.config import Config
from sftdata.encode.options import BACKENDS
from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.stage import Encode, some_texts
from sftdata.encode.stats import EncodingStats
from sftdata.encode.template.load import NO_TEMPLATE
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.engines.engine import Engine
from sftdata.files.atomic import write_bytes
from sftdata.pipeline.rows import RowTable
from sftdata.pipeline.samples import SAMPLE_COLUMNS, SampleTable
from sftdata.progress import Progress
from sftdata.store.manifest import FileEntry

TRIED_PIECES = 64  # of which some texts are encoded by both libraries; at least, where there are as many


def load_encoder(config: Config) -> RecordEncoder:
    """The tokenizer and chat template of a run.

    Raises TokenizerError where the tokenizer cannot be loaded, TemplateError where the template trains nothing.
    """
    source = config.resolve_if_exists(config.tokenizer)
    files = load_tokenizer(source, trust_remote_code=config.trust_remote_code)
    template = config.resolve_if_exists(config.template)
    if config.is_plain_text and template == "auto" and not files.chat_templates:
        template = NO_TEMPLATE
    encoder = RecordEncoder(
        EncodeSettings(
            files=files,
            template=template,
            date=config.date,
            train_on=config.train_on,
            overlong=config.overlong,
            seq_len=None if config.overlong == "drop" else config.pack.seq_len,  # nothing depends on it then
            strip_trailing_control=config.clean.strip_trailing_control,
            backend=BACKENDS[config.encoder],
            tried_later=True,
        )
    )
    if not config.is_plain_text:
        encoder.check()
    return encoder


def trusted_encoder(encoder: RecordEncoder, rows: RowTable, engine: Engine, progress: Progress) -> RecordEncoder:
    """The encoder, with tokenizers in place of fastokens where that gives other ids for some of this run's text."""
    starts = np.cumsum([0, *(piece.num_rows for piece in rows.pieces)]).tolist()
    dropped = rows.dropped()["dropped"]
    texts: list[str] = []
    for number in range(0, len(rows.pieces), max(1, len(rows.pieces) // TRIED_PIECES)):
        piece = rows.pieces[number]
        here = dropped.slice(starts[number], piece.num_rows).combine_chunks()
        texts += some_texts(engine.look(piece, ["record"]), here)
    if encoder.encoder.agrees(texts):
        return encoder
    progress.note("fastokens gives other ids than tokenizers for some of this text: encoding with tokenizers")
    return RecordEncoder(replace(encoder.settings, backend="tokenizers"))


def encode_rows(rows: RowTable, engine: Engine, encoder: RecordEncoder) -> tuple[SampleTable, EncodingStats]:
    """The samples of every live row, and what encoding met. Rows that cannot be encoded are dropped."""
    encoded = engine.map(Encode(encoder), rows.pieces, rows.dropped())
    columns = engine.collect(encoded, ["stats", *SAMPLE_COLUMNS])
    stats = EncodingStats.joined(columns["stats"].drop_null().to_pylist())
    samples = SampleTable(encoded, columns)
    samples.drop_refused(rows)
    return samples, stats


def drop_overlong(rows: RowTable, samples: SampleTable, config: Config) -> None:
    """Drop the rows with a sample that no packed row can hold."""
    samples.drop_overlong(rows, config.pack.seq_len)


def write_tokenizer(encoder: RecordEncoder, folder: Path) -> Sequence[FileEntry]:
    """Write the tokenizer and template as used to `folder`/tokenizer, in a form that transformers loads too.

    Raises OutputError where the folder cannot be written.
    """
    files, template = encoder.settings.files, encoder.template
    config = json.dumps(files.config(), indent=2, ensure_ascii=False) + "\n"
    contents = {"tokenizer.json": files.json, "tokenizer_config.json": config.encode()}
    if template.source:
        contents["chat_template.jinja"] = template.source.encode()
    if template.tool_source is not None:
        contents["additional_chat_templates/tool_use.jinja"] = template.tool_source.encode()
    entries = []
    for name, data in sorted(contents.items()):
        path = f"tokenizer/{name}"
        entries.append(FileEntry(path=path, size_bytes=len(data), sha256=write_bytes(folder / path, data)))
    return entries
