"""`audit`: raw data in, findings out. One process, one pass over the rows, then what rows have in common."""

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
import pyarrow as pa

from sftdata.audit.checks import RecordChecks
from sftdata.audit.excerpts import HIDDEN, excerpt, shown
from sftdata.audit.findings import (
    MEANINGS,
    QUALITY,
    TRAILING_CONTROL,
    Audit,
    Example,
    Finding,
    SourceStats,
    Words,
    settings_line,
)
from sftdata.audit.texts import NearTexts, SemanticTexts, Texts
from sftdata.config import Config, EvaluationConfig, SourceConfig, parse_config
from sftdata.curate.contamination import ContaminationSettings, EvaluationIndex, find_contamination, searched_texts
from sftdata.curate.duplicates.exact import content_key, first_occurrences
from sftdata.curate.duplicates.near import Verdict
from sftdata.curate.duplicates.settings import NearConfig, SemanticConfig
from sftdata.curate.privacy.settings import KINDS
from sftdata.curate.quality.filters import count_words
from sftdata.pipeline.contamination import evaluation_items
from sftdata.pipeline.duplicates import located_semantic
from sftdata.progress import NoProgress, Progress
from sftdata.read.diagnose import NOT_DATA, no_rows_error, suggest_mapping
from sftdata.read.file_names import distinct_names
from sftdata.read.formats.convert import detect_format
from sftdata.read.formats.tool_schemas import check_tool_calls
from sftdata.read.sources import lines_in, plan_units, read_raw
from sftdata.read.stage import row_of
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import KEY_BYTES, Record

MAX_EXAMPLES = 3  # of each kind
NOT_NEEDED: Mapping[str, Any] = {"tokenizer": "", "out": ""}  # of a config: an audit reads neither

Data = Config | str | Path | Sequence[str | Path | SourceConfig]


def audit(
    data: Data, *, against: Sequence[str | Path | EvaluationConfig] = (), progress: Progress | None = None
) -> Audit:
    """Everything that reading and curation have to say about raw data.

    `data` is a config, of which the tokenizer, the output and all that follows curation are not looked at, or paths
    and sources. `against` are evaluation files besides those of the config. Whatever the config switches off is
    looked for all the same, but semantic duplicates, for which the config names a model; thresholds of near-duplicates
    and decontamination, languages and telephone regions are those of the config.

    Memory: about 500 bytes a row; texts, signatures and embeddings lie in a scratch folder, removed at the end.
    Raises SourceError where a file cannot be read, or where no row of all is a conversation, and ConfigError where the
    model cannot be loaded.
    """
    config = _with_evaluations(_config_of(data), against)
    sources = config.resolved_sources()
    units = plan_units(sources)
    near, semantic = config.dedup.near or NearConfig(), config.dedup.semantic
    with tempfile.TemporaryDirectory(prefix="sftdata-check-") as folder, ExitStack() as opened:
        near_texts = opened.enter_context(closing(NearTexts(Path(folder), near)))
        semantic_texts = None
        if semantic is not None:
            located = located_semantic(config, semantic)
            semantic_texts = opened.enter_context(closing(SemanticTexts(Path(folder), located)))
        run = _Run(config, sources, units, near_texts, semantic_texts)
        run.read(progress or NoProgress())
        run.refuse_no_rows()
        run.compare(progress or NoProgress())
        return run.audit(near)


def _config_of(data: Data) -> Config:
    """A config as it is, or one that names these sources."""
    if isinstance(data, Config):
        return data
    items = [data] if isinstance(data, (str, Path)) else data
    sources = [item.model_dump() if isinstance(item, SourceConfig) else {"path": str(item)} for item in items]
    return parse_config({**NOT_NEEDED, "sources": sources}, "audit")


def _with_evaluations(config: Config, against: Sequence[str | Path | EvaluationConfig]) -> Config:
    """The config with more evaluation files, whose paths are relative to the current folder."""
    if not against:
        return config
    files = [one if isinstance(one, EvaluationConfig) else EvaluationConfig(path=str(one)) for one in against]
    here = [
        file.model_copy(update={"path": str(Path(file.path).absolute())}) if Path(file.path).exists() else file
        for file in files
    ]
    more = config.decontaminate.model_copy(update={"against": (*config.decontaminate.against, *here)})
    return config.model_copy(update={"decontaminate": more})


@dataclass
class _Source:
    """What is counted of one source."""

    rows: int = 0
    sound: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    prompt_words: array[int] = field(default_factory=lambda: array("I"))
    answer_words: array[int] = field(default_factory=lambda: array("I"))
    mapping: dict[str, str] | None = None  # the columns that the first row of an unknown shape probably means

    def measure(self, record: Record) -> None:
        """Count the words of a record."""
        asked = [count_words(message.content or "") for message in record.messages if message.role == "user"]
        if asked:
            self.prompt_words.append(sum(asked))
        answers = [message.content or "" for message in record.messages if message.role == "assistant"]
        self.answer_words.extend(map(count_words, answers if record.text is None else [record.text]))


class _Run:
    """One audit under way. Rows are numbered as they are read, records (the sound ones among them) too."""

    def __init__(
        self,
        config: Config,
        sources: Sequence[SourceConfig],
        units: Sequence[Unit],
        near_texts: NearTexts,
        semantic_texts: SemanticTexts | None,
    ) -> None:
        self._config, self._sources, self._units = config, sources, units
        self._names = distinct_names(units, [source.path for source in config.sources])
        self._near_texts, self._semantic_texts = near_texts, semantic_texts
        self._looks = RecordChecks(config.filters, config.privacy)
        settings = ContaminationSettings(config.decontaminate.ngram_words, config.decontaminate.overlap)
        self._index = (
            EvaluationIndex.build(evaluation_items(config), settings) if config.decontaminate.against else None
        )
        self._stats = [_Source() for _ in sources]
        self._counts: Counter[str] = Counter()
        self._by_default: Counter[str] = Counter()
        self._examples: dict[str, list[Example]] = {}
        self._found = bytearray()  # of each row, whether there is any finding
        # Of each record: its row, the unit and line it stands at, the key of its content.
        self._row, self._unit, self._line = array("Q"), array("I"), array("Q")
        self._keys = bytearray()

    def read(self, progress: Progress) -> None:
        """Look at every row by itself."""
        progress.start("check", len(self._units))
        base = 0
        for number, unit in enumerate(self._units):
            before = self._units[number - 1] if number else None
            goes_on = before is not None and (before.source, before.path) == (unit.source, unit.path)
            base = base + lines_in(before) if before is not None and goes_on else 0
            rows = 0
            for raw in read_raw(unit):
                self._take(number, base + raw.line, raw)
                rows += 1
            progress.advance(rows, 0)

    def _take(self, unit: int, line: int, raw: RawRow) -> None:
        """One row: what reading says about it, or all looks at its record."""
        number = self._units[unit].source
        source, stats = self._sources[number], self._stats[number]
        stats.rows += 1
        self._found.append(0)
        row = row_of(raw, source)
        stats.formats[_format_of(raw, source)] += 1
        drop = row.drop
        if drop is None and row.record is not None and row.record.tools:
            drop = check_tool_calls(row.record)
        if drop is not None or row.record is None:
            reason = drop.reason if drop else "unknown_shape"
            if reason in ("unknown_shape", "missing_field") and isinstance(raw.value, dict) and stats.mapping is None:
                stats.mapping = suggest_mapping(raw.value)
            wanted = self._is_wanted(reason)
            text = self._looks.of_reading(drop.detail if drop else None, raw.value) if wanted else ""
            self._note(reason, len(self._found) - 1, unit, line, text)
            return
        stats.sound += 1
        stats.measure(row.record)
        self._look(row.record, unit, line)

    def _look(self, record: Record, unit: int, line: int) -> None:
        """Everything that one record shows by itself; and what comparisons will need."""
        row = len(self._found) - 1
        redacted, private = self._looks.private(record)
        evidence = [*self._looks.quality(record), *self._looks.ends(record), *self._looks.kinds_of(redacted, private)]
        if self._index is not None and (hit := find_contamination(searched_texts(record), self._index)):
            words = HIDDEN if private else excerpt(hit.excerpt, self._looks.privacy)
            evidence.append(("contaminated", shown(str(replace(hit, excerpt=words)))))
        for kind, text in evidence:
            self._by_default[kind] += self._looks.is_for_default(kind, record)
            self._note(kind, row, unit, line, text)
        self._row.append(row)
        self._unit.append(unit)
        self._line.append(line)
        self._keys += content_key(record)
        self._near_texts.add(record)
        if self._semantic_texts is not None:
            self._semantic_texts.add(record)

    def _is_wanted(self, kind: str) -> bool:
        """Whether one more example of a kind is shown."""
        return len(self._examples.get(kind, ())) < MAX_EXAMPLES

    def _note(self, kind: str, row: int, unit: int, line: int, text: str) -> None:
        """Count a finding, and keep it as an example where there are few."""
        self._counts[kind] += 1
        self._found[row] = 1
        if self._is_wanted(kind):
            self._examples.setdefault(kind, []).append(Example(self._where(unit, line), text))

    def _where(self, unit: int, line: int) -> str:
        return shown(f"{self._names[unit]}:{line}")

    def refuse_no_rows(self) -> None:
        """Raise SourceError where there is no row at all, or none of which a conversation can be made."""
        if not self._found:
            raise no_rows_error([], self._config.sources[0])
        if self._counts.keys() <= NOT_DATA and not self._row:
            raise no_rows_error([unit for unit in self._units if unit.source == 0], self._sources[0])

    def compare(self, progress: Progress) -> None:
        """What records have in common: the same content, near-duplicates among the rest, and so on."""
        if not self._row:
            return
        keys = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(KEY_BYTES), len(self._row), [None, pa.py_buffer(bytes(self._keys))]
        )
        first = first_occurrences(keys)[0]
        repeats = first != np.arange(len(first))
        for number in np.flatnonzero(repeats).tolist():
            self._note_pair("duplicate", number, int(first[number]), "the same as", self._near_texts)
        near = self._near_texts.compare(repeats)
        self._note_similar("near_duplicate", near, "{:.0%} of the runs of words of", self._near_texts)
        if self._semantic_texts is not None:
            same = self._semantic_texts.compare(repeats | (near.duplicate_of >= 0), progress)
            self._note_similar("semantic_duplicate", same, "a cosine of {:.4f} to", self._semantic_texts)

    def _note_similar(self, kind: str, verdict: Verdict, how: str, texts: Texts) -> None:
        """The records that a verdict drops."""
        for number in np.flatnonzero(verdict.duplicate_of >= 0).tolist():
            similar = how.format(verdict.similarity[number])
            self._note_pair(kind, number, int(verdict.duplicate_of[number]), similar, texts)

    def _note_pair(self, kind: str, number: int, kept: int, how: str, texts: Texts) -> None:
        """A record that repeats a kept one."""
        text = ""
        if self._is_wanted(kind):
            words = excerpt(texts.text(number), self._looks.privacy)
            text = f"{how} {self._where(self._unit[kept], self._line[kept])}: {words!r}"
        self._note(kind, self._row[number], self._unit[number], self._line[number], text)

    def audit(self, near: NearConfig) -> Audit:
        """What was found, in the order in which it is told."""
        lines = {**_fixed_lines(), **self._lines(near)}
        total = len(self._found)
        findings = tuple(
            Finding(
                kind=kind,
                stage=stage,
                rows=self._counts[kind],
                share=self._counts[kind] / total,
                meaning=meaning,
                default_rows=self._by_default[kind] if kind in QUALITY else None,
                setting=lines.get(kind),
                examples=tuple(self._examples[kind]),
            )
            for kind, (stage, meaning) in MEANINGS.items()
            if self._counts[kind]
        )
        return Audit(
            rows=total,
            rows_with_findings=sum(self._found),
            evaluation_items=0 if self._index is None else self._index.items.num_rows,
            sources=tuple(_source_stats(*pair) for pair in zip(self._config.sources, self._stats)),
            findings=findings,
        )

    def _lines(self, near: NearConfig) -> dict[str, str]:
        """The lines that depend on the data or the config."""
        files = [
            {"path": file.path, **file.model_dump(exclude={"path"}, exclude_defaults=True)}
            for file in self._config.decontaminate.against
        ]
        lines = {
            "near_duplicate": _comparison_line("near", near),
            "contaminated": settings_line({"decontaminate": {"against": files}}),
            "wrong_language": settings_line({"filters": {"languages": self._config.filters.languages}}),
        }
        if self._config.dedup.semantic is not None:
            lines["semantic_duplicate"] = _comparison_line("semantic", self._config.dedup.semantic)
        mapped = [pair for pair in zip(self._config.sources, self._stats) if pair[1].mapping]
        if mapped:
            source, mapping = mapped[0][0], mapped[0][1].mapping or {}
            how: dict[str, Any] = {"format": "text"} if mapping == {"text": "text"} else {"columns": mapping}
            lines["unknown_shape"] = settings_line({"sources": [{"path": source.path, **how}]})
            lines["missing_field"] = lines["unknown_shape"]
        return lines


def _fixed_lines() -> dict[str, str]:
    """The setting that acts on each kind, where it is always the same."""
    return {
        "invalid_tool_call": settings_line({"check_tool_calls": True}),
        "duplicate": settings_line({"dedup": {"exact": True}}),
        **{kind: settings_line({"filters": settings}) for kind, settings in QUALITY.items()},
        "repetitive": settings_line({"filters": "strict"}),  # all of Gopher's limits are no line to write
        TRAILING_CONTROL: settings_line({"clean": {"strip_trailing_control": True}}),
        **dict.fromkeys(KINDS, settings_line({"privacy": {"mode": "redact"}})),
    }


def _comparison_line(name: str, settings: NearConfig | SemanticConfig) -> str:
    """The line that compares rows so: the threshold, and what is not as it is by default."""
    chosen = {"threshold": settings.threshold, **settings.model_dump(exclude_defaults=True)}
    return settings_line({"dedup": {name: chosen}})


def _format_of(raw: RawRow, source: SourceConfig) -> str:
    """The format that a row is read as."""
    if not isinstance(raw.value, dict):
        return "unreadable"
    return (detect_format(raw.value, source.columns) or "unknown") if source.format == "auto" else source.format


def _source_stats(source: SourceConfig, stats: _Source) -> SourceStats:
    return SourceStats(
        path=shown(source.path),
        rows=stats.rows,
        sound=stats.sound,
        formats=dict(sorted(stats.formats.items())),
        prompt_words=_words(np.array(stats.prompt_words)),
        answer_words=_words(np.array(stats.answer_words)),
    )


def _words(counts: npt.NDArray[Any]) -> Words | None:
    """Half, nearly all, and all of the texts have at most so many words."""
    if not len(counts):
        return None
    median, p95 = np.percentile(counts, [50, 95], method="inverted_cdf").tolist()
    return Words(int(median), int(p95), int(counts.max()))
