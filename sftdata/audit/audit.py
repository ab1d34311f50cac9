"""`audit`: raw data in, findings out. One process, one pass over the rows, then comparisons between rows."""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.audit.checks import RecordChecks
from sftdata.audit.excerpts import HIDDEN, excerpt, printable
from sftdata.audit.findings import (
    MEANINGS,
    QUALITY_FILTERS,
    TRAILING_CONTROL,
    Audit,
    Example,
    Finding,
    SourceStats,
    WordStats,
)
from sftdata.audit.source_settings import SourceAdvice
from sftdata.audit.suggestions import Suggestions
from sftdata.audit.texts import NearTexts, SemanticTexts, Texts
from sftdata.config import Config, EvaluationConfig, SourceConfig, parse_config
from sftdata.curate.contamination import ContaminationSettings, EvaluationIndex, find_contamination, searched_texts
from sftdata.curate.duplicates.exact import content_key
from sftdata.curate.duplicates.grouping import find_repeats
from sftdata.curate.duplicates.near import Verdict
from sftdata.curate.duplicates.settings import NearConfig
from sftdata.curate.privacy.details import Details
from sftdata.curate.quality.filters import count_words
from sftdata.pipeline.contamination import evaluation_items, unsearchable
from sftdata.pipeline.duplicates import with_model_folder
from sftdata.pipeline.read import UNIT_BYTES, plan_config
from sftdata.progress import NoProgress, Progress
from sftdata.read.advice import FIXABLE
from sftdata.read.diagnose import NOT_DATA, no_rows_error
from sftdata.read.file_names import distinct_names
from sftdata.read.formats.shapes.known import detect_format
from sftdata.read.formats.tool_schemas import check_tool_calls, unjudged_note
from sftdata.read.sources import lines_in, read_raw
from sftdata.read.stage import row_of
from sftdata.read.units import RawRow, Unit
from sftdata.records.end_tokens import EndTokens
from sftdata.records.faults import INTERNAL_ERROR, detail_of, fault_text, going_without, is_fault
from sftdata.records.record import Record

MAX_EXAMPLES = 3  # of each kind of finding
UNUSED_SETTINGS: Mapping[str, Any] = {"tokenizer": "", "out": ""}  # required by Config, but not used by an audit

Data = Config | str | Path | Sequence[str | Path | SourceConfig]


def audit(
    data: Data, *, against: Sequence[str | Path | EvaluationConfig] = (), progress: Progress | None = None
) -> Audit:
    """Find everything that reading and curation can find in raw data.

    `data` is a config, or paths and sources. The tokenizer, the output and all settings for steps after curation are
    ignored. `against` adds evaluation files to those of the config. Checks that the config turns off run too, except
    the search for semantic duplicates, which needs a model in the config. The thresholds for near-duplicates and
    decontamination, the languages and the phone regions are those of the config.

    Memory: about 500 bytes per row; texts, signatures and embeddings are in a temporary folder. Raises SourceError if a
    file cannot be read or no row is a conversation, and ConfigError if the model cannot be loaded.
    """
    config = _with_evaluations(_config_of(data), against)
    near, semantic = config.dedup.near or NearConfig(), config.dedup.semantic
    with tempfile.TemporaryDirectory(prefix="sftdata-check-") as folder, ExitStack() as opened:
        opened.enter_context(Details(config.privacy.model_copy(update={"mode": "redact"})).in_errors())
        near_texts = opened.enter_context(closing(NearTexts(Path(folder), near)))
        notes: list[str] = []
        config, sources, units = plan_config(config, Path(folder, "rows"), UNIT_BYTES, notes.append, progress)
        semantic_texts = None
        if semantic is not None:
            settings = with_model_folder(config, semantic)
            semantic_texts = opened.enter_context(closing(SemanticTexts(Path(folder), settings)))
        run = _AuditRun(config, sources, units, near_texts, semantic_texts, notes)
        run.read(progress or NoProgress())
        run.check_has_rows()
        run.compare(progress or NoProgress())
        return run.result()


def _config_of(data: Data) -> Config:
    """`data` if it is a config; else a config with these sources."""
    if isinstance(data, Config):
        return data
    items = [data] if isinstance(data, (str, Path)) else data
    sources = [dict(item) if isinstance(item, SourceConfig) else {"path": str(item)} for item in items]
    return parse_config({**UNUSED_SETTINGS, "sources": sources}, "audit")


def _with_evaluations(config: Config, against: Sequence[str | Path | EvaluationConfig]) -> Config:
    """The config with more evaluation files. Their paths are relative to the current folder."""
    if not against:
        return config
    files = [one if isinstance(one, EvaluationConfig) else EvaluationConfig(path=str(one)) for one in against]
    absolute = [
        file.model_copy(update={"path": str(Path(file.path).absolute())}) if Path(file.path).exists() else file
        for file in files
    ]
    decontaminate = config.decontaminate.model_copy(update={"against": (*config.decontaminate.against, *absolute)})
    return config.model_copy(update={"decontaminate": decontaminate})


@dataclass
class _SourceCounts:
    """The counts of one source."""

    rows: int = 0
    sound: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)  # column, or key of turns -> rows
    calls: Counter[str] = field(default_factory=Counter)  # what becomes of tool calls in texts: see Row -> rows
    prompt_words: array[int] = field(default_factory=lambda: array("I"))
    answer_words: array[int] = field(default_factory=lambda: array("I"))

    def add_words(self, record: Record) -> None:
        """Count the words of a record."""
        prompts = [count_words(message.content or "") for message in record.messages if message.role == "user"]
        if prompts:
            self.prompt_words.append(sum(prompts))
        answers = [message.content or "" for message in record.messages if message.role == "assistant"]
        self.answer_words.extend(map(count_words, answers if record.text is None else [record.text]))


class _AuditRun:
    """The state of an audit. Rows are numbered in the order of reading, and so are records (the valid rows)."""

    def __init__(
        self,
        config: Config,
        sources: Sequence[SourceConfig],
        units: Sequence[Unit],
        near_texts: NearTexts,
        semantic_texts: SemanticTexts | None,
        notes: list[str],
    ) -> None:
        self._config, self._sources, self._units = config, sources, units
        self._names = distinct_names(units, [source.path for source in config.sources])
        self._near_texts, self._semantic_texts = near_texts, semantic_texts
        self._checks = RecordChecks(config.filters, config.privacy, EndTokens())
        settings = ContaminationSettings(config.decontaminate.ngram_words, config.decontaminate.overlap)
        self._index = None
        if config.decontaminate.against:
            self._index = EvaluationIndex.build(evaluation_items(config, notes.append), settings)
            notes += unsearchable(self._index)
        self._notes = notes
        self._stats = [_SourceCounts() for _ in sources]
        self._advice = SourceAdvice(sources)
        self._contaminated: dict[int, str] = {}  # record -> evidence
        self._counts: Counter[str] = Counter()
        self._default_counts: Counter[str] = Counter()
        self._examples: dict[str, list[Example]] = {}
        self._unjudged: Counter[str] = Counter()  # what of the schemas of tools is not judged -> rows
        self._has_finding = bytearray()  # for each row: 1 if it has any finding
        # For each record: its row number, its unit and line, and the key of its content.
        self._row, self._unit, self._line = array("Q"), array("I"), array("Q")
        self._keys = bytearray()

    def read(self, progress: Progress) -> None:
        """Read and check all rows."""
        progress.start("check", len(self._units))
        base = 0
        for number, unit in enumerate(self._units):
            before = self._units[number - 1] if number else None
            is_same_file = before is not None and (before.source, before.path) == (unit.source, unit.path)
            base = base + lines_in(before) if before is not None and is_same_file else 0
            rows = 0
            for raw in read_raw(unit):
                try:
                    self._add_row(number, base + raw.line, raw)
                except BaseException as error:
                    if not is_fault(error):
                        raise
                    self._count_fault(number, base + raw.line, error)
                rows += 1
            progress.advance(rows, 0)

    def _add_row(self, unit: int, line: int, raw: RawRow) -> None:
        """Parse a row; count why it is dropped, or check its record."""
        number = self._units[unit].source
        source, stats = self._sources[number], self._stats[number]
        stats.rows += 1
        self._has_finding.append(0)
        row = row_of(raw, source)
        stats.formats[_format_of(raw, source)] += 1
        drop = row.drop
        self._advice.add(number, raw.value, None if drop is None else drop.reason)
        if drop is None and row.record is not None and row.record.tools:
            unjudged: dict[str, None] = {}
            drop = check_tool_calls(row.record, lambda why: unjudged.update({why: None}))
            self._unjudged.update([*unjudged])
        if drop is not None or row.record is None:
            reason = drop.reason if drop else "unknown_shape"
            detail = drop.detail if drop else None
            text = self._checks.reading_evidence(detail, raw.value) if self._needs_example(reason) else ""
            self._count_finding(reason, len(self._has_finding) - 1, unit, line, text)
            return
        stats.sound += 1
        stats.unused.update(row.unused)
        stats.calls.update(row.calls)
        stats.add_words(row.record)
        self._check_record(row.record, unit, line)

    def _check_record(self, record: Record, unit: int, line: int) -> None:
        """Run all checks of a record, and store what the comparisons need."""
        row = len(self._has_finding) - 1
        redacted, private = self._checks.redact(record)
        evidence = [
            *self._checks.quality_findings(record),
            *self._checks.trailing_control(record),
            *self._checks.private_findings(redacted, private),
        ]
        if self._index is not None and (hit := find_contamination(searched_texts(record), self._index)):
            text = HIDDEN if private else excerpt(hit.excerpt, self._checks.privacy)
            self._contaminated[len(self._row)] = printable(str(replace(hit, excerpt=text)))
        for kind, text in evidence:
            self._default_counts[kind] += self._checks.is_dropped_by_default(kind, record)
            self._count_finding(kind, row, unit, line, text)
        key = content_key(record)
        self._near_texts.add(record)
        if self._semantic_texts is not None:
            self._semantic_texts.add(record)
        self._row.append(row)
        self._unit.append(unit)
        self._line.append(line)
        self._keys += key

    def _count_fault(self, unit: int, line: int, error: BaseException) -> None:
        """Count a row that is lost to a fault of this program."""
        self._count_finding(INTERNAL_ERROR, len(self._has_finding) - 1, unit, line, detail_of(fault_text(error)))

    def _needs_example(self, kind: str) -> bool:
        """Whether there are fewer than MAX_EXAMPLES examples of this kind."""
        return len(self._examples.get(kind, ())) < MAX_EXAMPLES

    def _count_finding(self, kind: str, row: int, unit: int, line: int, text: str) -> None:
        """Count a finding, and keep it as an example if more are needed."""
        self._counts[kind] += 1
        self._has_finding[row] = 1
        if self._needs_example(kind):
            self._examples.setdefault(kind, []).append(Example(self._where(unit, line), text))

    def _where(self, unit: int, line: int) -> str:
        return printable(f"{self._names[unit]}:{line}")

    def check_has_rows(self) -> None:
        """Raise SourceError if there are no rows, or none of them is a conversation."""
        if not self._has_finding:
            raise no_rows_error([], self._config.sources[0])
        if self._counts.keys() <= NOT_DATA and not self._row:
            raise no_rows_error([unit for unit in self._units if unit.source == 0], self._sources[0])
        with going_without("settings for rows of unknown shapes", self._notes.append):
            self._advice.find(self._units)

    def compare(self, progress: Progress) -> None:
        """Compare records: find exact duplicates, near-duplicates among the rest, then semantic duplicates."""
        if not self._row:
            return
        keys = np.frombuffer(bytes(self._keys), np.uint64).reshape(len(self._row), -1)
        repeats = find_repeats(keys, np.arange(len(keys)))
        is_repeat = np.zeros(len(keys), np.bool_)
        is_repeat[repeats.row] = True
        for number, first in zip(repeats.row.tolist(), repeats.first.tolist()):
            self._count_duplicate("duplicate", number, first, "the same as", self._near_texts)
        near = self._near_texts.compare(is_repeat)
        for number, fault in self._near_texts.faults.items():
            self._count_finding(
                INTERNAL_ERROR, self._row[number], self._unit[number], self._line[number], detail_of(fault)
            )
        self._count_duplicates("near_duplicate", near, "a Jaccard similarity of {:.2f} to", self._near_texts)
        if self._semantic_texts is not None:
            same = self._semantic_texts.compare(is_repeat | (near.duplicate_of >= 0), progress)
            self._count_duplicates("semantic_duplicate", same, "a cosine of {:.4f} to", self._semantic_texts)
        # prepare looks for contamination among the rows that its duplicates leave
        is_gone = is_repeat & self._config.dedup.exact
        if self._config.dedup.near is not None:
            is_gone |= near.duplicate_of >= 0
        for number, text in self._contaminated.items():
            if not is_gone[number]:
                place = self._row[number], self._unit[number], self._line[number]
                self._count_finding("contaminated", *place, text)

    def _count_duplicates(self, kind: str, verdict: Verdict, how: str, texts: Texts) -> None:
        """Count the records that a verdict drops."""
        for number in np.flatnonzero(verdict.duplicate_of >= 0).tolist():
            similar = how.format(verdict.similarity[number])
            self._count_duplicate(kind, number, int(verdict.duplicate_of[number]), similar, texts)

    def _count_duplicate(self, kind: str, number: int, kept: int, how: str, texts: Texts) -> None:
        """Count a record that duplicates a kept one."""
        text = ""
        if self._needs_example(kind):
            start = excerpt(texts.text(number), self._checks.privacy)
            text = f"{how} {self._where(self._unit[kept], self._line[kept])}: {start!r}"
        self._count_finding(kind, self._row[number], self._unit[number], self._line[number], text)

    def result(self) -> Audit:
        """All findings, in the order of the report."""
        if self._unjudged:
            self._notes.append(unjudged_note(self._unjudged))
        suggestions = Suggestions(self._config, self._advice)
        total = len(self._has_finding)
        findings = tuple(
            Finding(
                kind=kind,
                stage=stage,
                rows=self._counts[kind],
                share=self._counts[kind] / total,
                meaning=f"{meaning}{self._hint(kind)}",
                default_rows=self._default_counts[kind] if kind in QUALITY_FILTERS else None,
                setting=suggestions.line(kind),
                examples=tuple(self._examples[kind]),
            )
            for kind, (stage, meaning) in MEANINGS.items()
            if self._counts[kind]
        )
        return Audit(
            rows=total,
            rows_with_findings=sum(self._has_finding),
            evaluation_items=0 if self._index is None else self._index.items.num_rows,
            sources=tuple(_source_stats(*pair) for pair in zip(self._config.sources, self._stats)),
            findings=findings,
            notes=tuple(map(printable, self._notes)),
            settings=suggestions.document(findings),
            recommended=suggestions.keywords(findings),
        )

    def _hint(self, kind: str) -> str:
        """What to add to the meaning of a kind: what its setting does besides, or what else there is to do."""
        if kind == TRAILING_CONTROL and self._checks.only_control:
            empty = f"{self._checks.only_control:,}"
            return f"; with the setting, rows with nothing else in an answer are empty_answer: {empty}"
        if kind not in FIXABLE:
            return ""
        fixed = self._advice.fixed(kind)
        some = f"; the setting fixes {fixed:,} of {self._counts[kind]:,}" if fixed else ""
        is_first = kind == next(reason for reason in MEANINGS if reason in FIXABLE and self._counts[reason])
        said = self._advice.sentence([printable(source.path) for source in self._config.sources]) if is_first else ""
        return some + (f"; {printable(said)}" if said else "")


def _format_of(raw: RawRow, source: SourceConfig) -> str:
    """The format of a row."""
    if not isinstance(raw.value, dict):
        return "unreadable"
    return (detect_format(raw.value, source.columns) or "unknown") if source.format == "auto" else source.format


def _source_stats(source: SourceConfig, stats: _SourceCounts) -> SourceStats:
    return SourceStats(
        path=printable(source.path),
        rows=stats.rows,
        sound=stats.sound,
        formats=dict(sorted(stats.formats.items())),
        unused=dict(sorted(stats.unused.items())),
        calls=dict(sorted(stats.calls.items())),
        prompt_words=_word_stats(np.array(stats.prompt_words)),
        answer_words=_word_stats(np.array(stats.answer_words)),
    )


def _word_stats(counts: npt.NDArray[Any]) -> WordStats | None:
    """Median, 95th percentile and maximum; None without counts."""
    if not len(counts):
        return None
    median, p95 = np.percentile(counts, [50, 95], method="inverted_cdf").tolist()
    return WordStats(int(median), int(p95), int(counts.max()))
