"""The manifest of a run: everything that is known of the dataset, and of the program that made it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sftdata import __version__
from sftdata.config import Config
from sftdata.curate.duplicates import embedding
from sftdata.curate.privacy.details import Details
from sftdata.encode.record_encoder import RecordEncoder
from sftdata.encode.stats import ARGUMENTS, AS_TEXT, EncodingStats
from sftdata.pipeline.encoding import note_marks
from sftdata.pipeline.rows import LIVE, REASON_NAMES, RowTable
from sftdata.pipeline.samples import SampleTable
from sftdata.read.formats.convert import JOINED
from sftdata.read.formats.tool_schemas import UNJUDGED, unjudged_note
from sftdata.safe.addresses import written_address
from sftdata.store.ledger import LedgerWriter
from sftdata.store.manifest import (
    CallsEntry,
    ControlString,
    EncodingEntry,
    FileEntry,
    Manifest,
    MixtureEntry,
    PackingEntry,
    ShardEntry,
    TemplateEntry,
    TokenizerEntry,
    UnusedEntry,
    hash_of_shards,
)

TOOLS = ("datasets", "fastokens", "jinja2", "pyarrow", "tokenizers")  # whose versions decide the bytes


class Parts(NamedTuple):
    """What a run has written, and what is to be said of it."""

    notes: Sequence[str]
    shards: Sequence[ShardEntry]
    ledger: LedgerWriter
    files: Sequence[FileEntry]
    mixture: Sequence[MixtureEntry]


def make_manifest(
    config: Config, encoder: RecordEncoder, rows: RowTable, samples: SampleTable, stats: EncodingStats, parts: Parts
) -> Manifest:
    """The manifest of these files, with what is counted of the rows."""
    notes, shards, ledger, files, mixture = parts
    note_marks(rows, samples, encoder, stats)
    unused, private = count_unused(rows, config), count_private(rows, config)
    calls_in_text, unjudged, joined = count_calls(rows, config)
    template = None
    if not config.is_plain_text:
        sha256 = hashlib.sha256(encoder.template.source.encode()).hexdigest()
        template = TemplateEntry(source=written_address(config.template), sha256=sha256)
    mask = Details(config.privacy).mask
    return Manifest(
        dataset_hash=hash_of_shards(shards),
        seed=config.seed,
        seq_len=config.pack.seq_len,
        shards=tuple(shards),
        ledger=tuple(ledger.files),
        files=tuple(files),
        tokenizer=_tokenizer_entry(written_address(config.tokenizer), encoder, stats),
        template=template,
        encoding=_encoding_entry(stats, joined),
        config=config.model_dump(mode="json", exclude={"out": {"path", "work"}}),
        versions=describe_versions(semantic=config.dedup.semantic is not None),
        counts=ledger.counts,
        notes=tuple(map(mask, [*notes, *unjudged])),
        unused=tuple(entry.model_copy(update={"column": mask(entry.column)}) for entry in unused),
        calls_in_text=tuple(calls_in_text),
        privacy=dict(private),
        mixture=tuple(mixture),
        packing=PackingEntry.of(config.pack.strategy, config.pack.seq_len, shards),
    )


def _tokenizer_entry(source: str, encoder: RecordEncoder, stats: EncodingStats) -> TokenizerEntry:
    """What the manifest says of the tokenizer, with everything that proves the masks from the files alone."""
    return TokenizerEntry(
        source=source,
        sha256=encoder.settings.files.sha256,
        vocab_size=encoder.vocabulary.size,
        bos_id=encoder.id_of("bos_token"),
        eos_id=encoder.id_of("eos_token"),
        pad_id=encoder.id_of("pad_token"),
        end_of_turn_ids=encoder.end_ids,
        control_ids=tuple(sorted(encoder.probes.control.ids)),
        answer_control_ids=tuple(sorted(stats.answer_control_ids)),
        generation_prompts=tuple(sorted(stats.generation_prompts)),
    )


def _encoding_entry(stats: EncodingStats, joined: int) -> EncodingEntry:
    """What the manifest says of encoding: by what, what it met in the texts, and what it did to records. `joined` are
    the rows with lists of texts, which reading has joined.
    """
    arguments, written = (
        {name[len(head) :]: n for name, n in sorted(stats.changes.items()) if name.startswith(head)}
        for head in (ARGUMENTS, AS_TEXT)
    )
    strings = sorted(stats.control_strings.items(), key=lambda item: (-item[1], item[0]))
    return EncodingEntry(
        encoder=" and ".join(sorted(stats.backends)),
        control_strings=tuple(ControlString(string=text, role=role, count=n) for (text, role), n in strings),
        trailing_control=dict(sorted(stats.trailing_control.items(), key=lambda item: (-item[1], item[0]))),
        only_control=stats.changes["only_control"],
        foreign_ends=stats.foreign_ends,
        added_system=stats.added_system,
        first_rows=stats.first_rows,
        stripped_answers=stats.changes["stripped_answers"],
        split_conversations=stats.changes["split_conversations"],
        overlong_turns=stats.changes["overlong_turns"],
        split_texts=stats.changes["split_texts"],
        cut_answers=stats.changes["cut_answers"],
        lost_context=dict(sorted(stats.lost_context.items())),
        left_out=dict(sorted(stats.left_out.items())),
        unwritten=dict(sorted(stats.unwritten.items())),
        reasoning=dict(sorted(stats.reasoning.items())),
        thinking=dict(sorted(stats.thinking.items())),
        rendered=dict(sorted(stats.rendered.items())),
        media_marks=stats.changes["media_marks"],
        tools_twice=stats.changes["tools_twice"],
        developer_as_system=stats.changes["developer_as_system"],
        unused_messages=stats.changes["unused_messages"],
        arguments=arguments,
        joined_texts=joined,
        made_call_ids=stats.changes["made_call_ids"],
        as_text=written,
        ways_out=stats.ways_out,
    )


def count_unused(rows: RowTable, config: Config) -> list[UnusedEntry]:
    """The columns of each source, and the keys of its turns, that hold something unused, and in how many rows."""
    counted = _count_names("unused", rows, config)
    return [UnusedEntry(source=source, column=name, rows=number) for source, name, number in counted]


def count_calls(rows: RowTable, config: Config) -> tuple[list[CallsEntry], list[str], int]:
    """What happened to the tool calls in the texts of each source, and in how many rows; what is to be said of calls
    that were not checked against their schemas; and the rows with lists of texts that were joined.
    """
    entries: list[CallsEntry] = []
    joined = 0
    unjudged: dict[str, int] = {}
    for source, name, number in _count_names("calls", rows, config):
        fate, _, rest = name.partition(": ")
        if fate == UNJUDGED:
            unjudged[rest] = unjudged.get(rest, 0) + number
        elif name == JOINED:
            joined += number
        else:
            entries.append(CallsEntry(source=source, fate=fate, forms=tuple(rest.split(", ")), rows=number))
    return entries, [unjudged_note(unjudged)] if unjudged else [], joined


def _count_names(name: str, rows: RowTable, config: Config) -> Iterator[tuple[str, str, int]]:
    """For each source and each name in a column of JSON lists: the number of rows."""
    counted: list[Counter[str]] = [Counter() for _ in config.sources]
    for entries, texts in rows.texts[name].parts():
        sources = rows.source_of(entries)
        for number in np.unique(sources).tolist():
            for pair in texts.filter(pa.array(sources == number)).value_counts().to_pylist():
                for one in json.loads(pair["values"]):
                    counted[number][one] += pair["counts"]
    for source, counts in zip(config.sources, counted):
        yield from ((source.path, one, counts[one]) for one in sorted(counts))


def count_private(rows: RowTable, config: Config) -> dict[str, int]:
    """Personal data found, by kind: in the packed rows, and in those dropped for it."""
    if config.privacy.mode == "off":
        return {}
    counts: Counter[str] = Counter()
    for entries, texts in rows.texts["private"].parts():
        is_counted = np.isin(rows.reason[entries], [LIVE, REASON_NAMES.index("private_data")])
        for text in texts.filter(pa.array(is_counted)).to_pylist():
            counts.update(json.loads(text))
    return dict(sorted(counts.items()))


def describe_versions(*, semantic: bool) -> dict[str, str]:
    """The versions of the tools that decide the bytes, those of `dedup.semantic` among them where it is on."""
    tools = sorted({*TOOLS, *embedding.TOOLS, "faiss-cpu"}) if semantic else TOOLS
    return {"sftdata": __version__, **{name: metadata.version(name) for name in tools}}


def program_versions() -> dict[str, str]:
    """The versions of the tools, and a checksum of this program: where all are equal, equal work has equal results."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes())
    return {**describe_versions(semantic=False), "the source code of sftdata": digest.hexdigest()[:32]}


def program_key() -> str:
    """A checksum of this program and its tools: work of another version is not used again."""
    return hashlib.sha256(json.dumps(program_versions()).encode()).hexdigest()
