"""Encoding in `prepare`: the tokenizer and chat template of a run, and the samples of its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.config import Config, SourceConfig
from sftdata.encode.options import BACKENDS, SourceSettings
from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.stage import SOURCE, Encode
from sftdata.encode.stats import FOREIGN_END, NO_SYSTEM, EncodingStats
from sftdata.encode.template.developer import added_system
from sftdata.encode.template.load import NO_TEMPLATE
from sftdata.encode.template.thinking import arguments_read
from sftdata.encode.tokenizer.load import TokenizerFiles, load_tokenizer
from sftdata.encode.tokenizer.stops import with_stops
from sftdata.encode.ways_out import REASONS, as_lines, find_ways_out, fitting_templates
from sftdata.engines.engine import Engine, Launcher
from sftdata.engines.local import ThisProcess
from sftdata.errors import TemplateError
from sftdata.files.atomic import write_bytes
from sftdata.pipeline.read import Sources, rows_again
from sftdata.pipeline.rows import REASON_NAMES, Ints, RowTable
from sftdata.pipeline.samples import SampleTable, SmallInts
from sftdata.progress import Progress
from sftdata.read.formats.tool_schemas import check_tool_calls
from sftdata.read.stage import row_format, row_of
from sftdata.read.units import RawRow
from sftdata.records.faults import going_without
from sftdata.records.record import Drop, Record
from sftdata.settings.yaml_line import override
from sftdata.store.manifest import FileEntry

# Reason -> settings of a source that may read its rows otherwise; the first that trains some of them is named.
_AS_TEXT = (("tool_calls_in_text", "keep"),)
READ_SETTINGS = {
    "bad_tool_call": _AS_TEXT,
    "conflicting_fields": _AS_TEXT,
    "roles_out_of_order": (("merge_same_role", "merge"), ("merge_same_role", "allow")),
    **dict.fromkeys(REASONS, _AS_TEXT),
}
NO_CHAT = "no template renders texts"
OF_CHATS = ("chat_template_kwargs", "thinking", "train_empty_thinking", "reasoning", "tool_call_ids", "tool_calls")
MAX_TRIED = 50  # rows to try a setting on
MAX_LINE = 100_000  # of a file, up to which rows are read again


def load_encoder(config: Config) -> RecordEncoder:
    """The tokenizer and chat template of a run.

    Raises TokenizerError where the tokenizer cannot be loaded, TemplateError where the template trains nothing.
    """
    source = config.resolve_if_exists(config.tokenizer)
    files = with_stops(load_tokenizer(source, trust_remote_code=config.trust_remote_code), config.stop_tokens)
    template = config.resolve_if_exists(config.template)
    if config.is_plain_text and template == "auto" and "default" not in files.chat_templates:
        template = NO_TEMPLATE
    settings = EncodeSettings(
        files=files,
        template=template,
        date=config.date,
        train_on=config.train_on,
        overlong=config.overlong,
        lost_context=config.lost_context,
        max_turns=config.max_turns,
        tool_call_ids=config.tool_call_ids,
        reasoning=config.reasoning,
        tool_calls=config.tool_calls,
        thinking=config.thinking,
        train_empty_thinking=config.train_empty_thinking,
        chat_template_kwargs=config.chat_template_kwargs,
        sources=tuple(_distinct_settings(config)),
        seq_len=None if config.overlong == "drop" else config.pack.seq_len,  # nothing depends on it then
        backend=BACKENDS[config.encoder],
        self_test=False,  # encode_rows compares the backends on texts of the run
    )
    encoder = RecordEncoder(settings)
    if not config.is_plain_text:
        with _templates_that_fit(files, config.date):
            encoder.check()
    return encoder


def note_template(config: Config, encoder: RecordEncoder, progress: Progress) -> list[str]:
    """What is said of settings that are set and that nothing in this run reads, and of ends of turns at which servers
    may not stop; `progress` gets it too.
    """
    notes = [f"{name} has no effect: {NO_CHAT}" for name in _of_chats(config)]
    asks = any("strftime_now" in source for source in encoder.template.sources)
    if "date" in config.model_fields_set and not asks:
        why = NO_CHAT if config.is_plain_text else "the chat template does not ask for today"
        named = [name for name in arguments_read(encoder.template) if "date" in name]
        hint = f" (it reads the argument {named[0]}, which chat_template_kwargs sets)" if named else ""
        notes.insert(0, f"date: {config.date} has no effect: {why}{hint}")
    notes += map(_undeclared, encoder.undeclared_ends)
    for note in notes:
        progress.note(note)
    return notes


def _undeclared(token: str) -> str:
    """What is said of an end of turns that is not a stop."""
    declared = json.dumps([token], ensure_ascii=False)
    return (
        f"answers end in {token}, which is neither the tokenizer's EOS nor in its generation_config.json: servers stop "
        f"there only if that is configured; if it is, set stop_tokens: {declared}"
    )


def _of_chats(config: Config) -> list[str]:
    """The settings of chats that are set in a run on texts."""
    fields = Config.model_fields
    given = [name for name in OF_CHATS if name in fields] if config.is_plain_text else []
    return [name for name in given if getattr(config, name) != fields[name].get_default(call_default_factory=True)]


def _settings_of(source: SourceConfig) -> SourceSettings:
    return SourceSettings(
        chat_template_kwargs=source.chat_template_kwargs,
        thinking=source.thinking,
        reasoning=source.reasoning,
        tool_calls=source.tool_calls,
    )


def _distinct_settings(config: Config) -> list[SourceSettings]:
    """What the sources say of encoding their rows, each once; nothing if none says anything."""
    found: list[SourceSettings] = []
    for source in config.sources:
        if source.format != "text" and _settings_of(source) not in found:
            found.append(_settings_of(source))
    return [] if found == [SourceSettings()] else found


def _beside(rows: RowTable, config: Config, encoder: RecordEncoder) -> pa.Table:
    """What the encoding stage gets beside the rows: which to pass by, and where their sources are in the settings."""
    columns, settings = rows.dropped(), encoder.settings.sources
    if len(settings) < 2:
        return columns
    places = [settings.index(one) if (one := _settings_of(source)) in settings else 0 for source in config.sources]
    return columns.append_column(SOURCE, pa.array(np.array(places)[rows.source], pa.int32()))


@contextmanager
def _templates_that_fit(files: TokenizerFiles, date: str) -> Iterator[None]:
    """Let the error for a template that trains nothing name the built-in ones that train with the tokenizer."""
    try:
        yield
    except TemplateError as error:
        names = fitting_templates(files, date)
        if not names:
            raise
        hint = f"template={' or template='.join(names)} can train with this tokenizer"
        raise TemplateError(error.where, error.what, hint) from error


@contextmanager
def loaded_meanwhile(encoder: RecordEncoder, launcher: Launcher) -> Iterator[None]:
    """Load the tokenizer in a thread while the block runs, where this process encodes; workers load their own."""
    with ThreadPoolExecutor(1) as thread:
        if isinstance(launcher, ThisProcess):
            thread.submit(encoder.encoder.agrees, [])  # what it raises is raised when the encoder is used
        yield


def encode_rows(
    rows: RowTable, engine: Engine, encoder: RecordEncoder, config: Config, progress: Progress
) -> tuple[SampleTable, EncodingStats]:
    """The samples of every live row, and what encoding met. Rows that cannot be encoded are dropped.

    Some texts of every piece are encoded by tokenizers too. Where fastokens gives other ids for one of them, all rows
    are encoded again with tokenizers. What reading stripped from these rows is counted with the rest.
    """
    stripped, beside = _stripped_ends(rows), _beside(rows, config, encoder)
    samples, stats = _encoded(rows, engine, encoder, beside)
    if stats.backends_disagree:
        progress.note("fastokens gives other ids than tokenizers for some of this text: encoding with tokenizers")
        encoder = RecordEncoder(replace(encoder.settings, backend="tokenizers"))
        samples, stats = _encoded(rows, engine, encoder, beside)
    for tokens in stripped:
        own = [token for token in tokens if encoder.probes.control.id_of(token) is not None]
        stats.control_strings.update((token, "assistant") for token in own)
        stats.trailing_control[tokens[-1]] += 1
    stats.changes["stripped_answers"] += len(stripped)
    with going_without("settings for refused rows", progress.note):
        stats.ways_out = find_ways_out(stats, encoder.settings)
    for line in as_lines(stats.ways_out):
        progress.note(line)
    samples.drop_refused(rows)
    return samples, stats


def suggest_settings(
    found: Sources, rows: RowTable, encoder: RecordEncoder, stats: EncodingStats, progress: Progress
) -> None:
    """Add to the ways out of `stats` settings of sources that read dropped rows otherwise, tried on the first of them.

    None is named that would lose a row that is trained now.
    """
    dropped = {reason: rows.is_row & (rows.reason == REASON_NAMES.index(reason)) for reason in READ_SETTINGS}
    if not any(chosen.any() for chosen in dropped.values()):
        return
    near = rows.line(np.arange(rows.size)) <= MAX_LINE
    has_calls = np.zeros(rows.size, np.bool_)
    for entries, texts in rows.texts["calls"].parts():
        has_calls[entries[pc.match_substring(texts, "parsed: ").to_numpy(zero_copy_only=False)]] = True
    for reason, settings in READ_SETTINGS.items():
        was_read = reason in REASONS  # by the present settings, and refused by the template
        chosen = dropped[reason] & near & (has_calls | (not was_read))
        for number in np.unique(rows.source[chosen]).tolist():
            refused = np.flatnonzero(chosen & (rows.source == number))[:MAX_TRIED]
            kept = np.flatnonzero(rows.live & near & has_calls & (rows.source == number))[:MAX_TRIED]
            trial = _Trial(found, number, encoder)
            for name, value in settings:
                changes = kept if name == "tool_calls_in_text" else kept[:0]
                way = trial.outcome(name, value, rows_again(found, rows, refused), rows_again(found, rows, changes))
                if way is not None:
                    stats.ways_out[reason] = "; ".join(filter(None, [stats.ways_out.get(reason), way]))
                    progress.note(f"rows dropped as {reason}: {way}")
                    break


class _Trial:
    """Settings of one source, tried on its rows."""

    def __init__(self, found: Sources, number: int, encoder: RecordEncoder) -> None:
        self.source, self.number, self.encoder = found.sources[number], number, encoder
        self.check_calls = found.config.check_tool_calls

    def outcome(self, name: str, value: str, refused: Sequence[RawRow], kept: Sequence[RawRow]) -> str | None:
        """What a setting does, in words; None if it trains none of the refused rows, or not all of those kept now, or
        if the source has another value than the default for it.
        """
        if getattr(self.source, name) != SourceConfig.model_fields[name].default:
            return None
        changed = self.source.model_copy(update={name: value})
        trained = self._count_trained(refused, changed)
        if not trained or self._count_trained(kept, changed) < len(kept):
            return None
        shown = override(f"sources.{self.number}.{name}", True if value == "merge" else value)
        return f"{shown} trains {trained} of {len(refused)} of them that were tried"

    def _count_trained(self, values: Sequence[RawRow], source: SourceConfig) -> int:
        records = [record for raw in values if (record := self._record(raw, source)) is not None]
        settings, own = self.encoder.settings.sources, _settings_of(self.source)
        sources = [settings.index(own)] * len(records) if own in settings else None
        return sum(not isinstance(result, Drop) for result in self.encoder.encode(records, sources)) if records else 0

    def _record(self, raw: RawRow, source: SourceConfig) -> Record | None:
        row = row_of(raw, source, row_format(source, self.encoder.calls_written, self.encoder.settings.tool_calls))
        if row.drop is not None or row.record is None:
            return None
        is_wrong = self.check_calls and row.record.tools and check_tool_calls(row.record) is not None
        return None if is_wrong else row.record


def _stripped_ends(rows: RowTable) -> list[list[str]]:
    """The end tokens that reading stripped from each answer of the live rows."""
    ends: list[list[str]] = []
    for entries, texts in rows.texts["stripped"].parts():
        for text in texts.filter(pa.array(rows.live[entries])).to_pylist():
            ends += json.loads(text)
    return ends


def _encoded(
    rows: RowTable, engine: Engine, encoder: RecordEncoder, beside: pa.Table
) -> tuple[SampleTable, EncodingStats]:
    samples = SampleTable(engine.map(Encode(encoder), rows.pieces, beside), engine)
    return samples, EncodingStats.joined(samples.stats)


def drop_overlong(rows: RowTable, samples: SampleTable, config: Config) -> None:
    """Drop the rows with a sample that no packed row can hold."""
    samples.drop_overlong(rows, config.pack.seq_len)


def note_marks(rows: RowTable, samples: SampleTable, encoder: RecordEncoder, stats: EncodingStats) -> None:
    """Count in `stats` the rows that the summary points out: those with an end token of another model at the end of an
    answer, which are all that were encoded and their exact duplicates; and the packed ones to which the template adds a
    system prompt.
    """
    has_end = np.zeros(rows.size, np.bool_)
    has_end[samples.marked(FOREIGN_END, is_packed=False)] = True
    repeats = np.flatnonzero(rows.reason == REASON_NAMES.index("duplicate"))
    has_end[repeats] = has_end[rows.duplicate_of[repeats]]
    found: dict[str, Ints | SmallInts] = {"foreign_ends": np.flatnonzero(has_end)}
    stats.foreign_ends = len(found["foreign_ends"])
    prompt = None if not encoder.template.source else added_system(encoder.probes)
    if prompt is not None and len(lacking := samples.marked(NO_SYSTEM)):
        stats.added_system = {prompt: len(lacking)}
        found["added_system"] = lacking
    stats.first_rows = {name: rows.where(entries[:1])[0].as_py() for name, entries in found.items() if len(entries)}


def write_tokenizer(encoder: RecordEncoder, folder: Path) -> Sequence[FileEntry]:
    """Write the tokenizer and template as used to `folder`/tokenizer, in a form that transformers loads too.

    The template that was used is the default one there. The tokenizer's other named templates go along; `tool_use` only
    where it was used, because transformers and servers take it for every conversation with tools.

    Raises OutputError where the folder cannot be written.
    """
    files, template = encoder.settings.files, encoder.template
    config = json.dumps(files.config(), indent=2, ensure_ascii=False) + "\n"
    contents = {
        **files.other_files,
        "tokenizer.json": files.tokenizer_json,
        "tokenizer_config.json": config.encode(),
    }
    if template.source:
        contents["chat_template.jinja"] = template.source.encode()
    for name, source in files.chat_templates.items():
        if name != "default" and (name != "tool_use" or template.tool_source is not None):
            contents[f"additional_chat_templates/{name}.jinja"] = source.encode()
    entries = []
    for name, data in sorted(contents.items()):
        path = f"tokenizer/{name}"
        entries.append(FileEntry(path=path, size_bytes=len(data), sha256=write_bytes(folder / path, data)))
    return entries
