"""The zoo: 18 ordinary kinds of conversation under chat templates of other projects, each result judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo_chats import CHATS, row_of
from zoo_graft import graft, renderings
from zoo_oracle import TextOracle, ZooOracle
from zoo_stops import family_of

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.stats import EncodingStats
from sftdata.encode.template.load import template_source
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.encode.ways_out import find_ways_out
from sftdata.errors import SftDataError
from sftdata.read.formats.convert import to_record
from sftdata.records.record import Drop, Record

DATE = "2026-01-01"


@dataclass
class Outcome:
    """What became of one conversation under one template."""

    kind: str
    writes_every_field: bool = False
    trained: int = 0  # turns
    answers: int = 0  # turns that could be trained
    empty_blocks: int = 0  # trained runs that begin with a block of thinking that holds nothing
    reason: str = ""
    detail: str = ""
    wrong: list[str] = field(default_factory=list)  # what the oracle or transformers say against the samples
    provable: int = 0  # turns that the oracle could prove, in some form; only of refused conversations
    way: str = ""  # the setting that a refusal names
    way_trains: bool = False
    way_wrong: list[str] = field(default_factory=list)


class Animal:
    """One template of the zoo with its grafted tokenizer: an encoder, and the oracle that judges it."""

    def __init__(self, name: str, template: str, folder: Path) -> None:
        self.name = name
        self.family = family_of(name)
        self.folder = graft(folder / name, template, self.family)
        self.oracle = ZooOracle(self.folder, self.family.stops, None, DATE)
        self.settings = EncodeSettings(files=load_tokenizer(str(self.folder)), date=DATE)
        self.refusal = ""
        self.encoder: RecordEncoder | None = RecordEncoder(self.settings)
        try:
            self.encoder.check()
        except SftDataError as error:
            self.encoder, self.refusal = None, str(error)

    def outcomes(self, *, ways: bool = False) -> Iterator[Outcome]:
        """What becomes of every kind of conversation."""
        for kind in CHATS:
            yield self.outcome(kind, ways=ways)

    def outcome(self, kind: str, *, ways: bool = False) -> Outcome:
        """What becomes of one kind of conversation; with `ways`, also of what its refusal names."""
        row = row_of(kind)
        outcome = Outcome(kind, self.oracle.writes_every_field(row))
        trained = self.oracle.trained(row["messages"], "all")
        outcome.answers = len(trained)
        record = to_record(row, format="messages", columns={}, system=None)
        assert isinstance(record, Record)
        result: Any = (
            Drop("refused template", self.refusal) if self.encoder is None else self.encoder.encode([record])[0]
        )
        if isinstance(result, Drop):
            outcome.reason, outcome.detail = result.reason, result.detail or ""
            for form in self.oracle.all_forms(row["messages"]):
                outcome.provable = max(outcome.provable, len(self.oracle.provable(form, row.get("tools"), trained)[0]))
                if outcome.provable == outcome.answers:
                    break
            if ways and self.encoder is not None:
                self._try_way(outcome, row, record)
            return outcome
        verdict = self.oracle.verdict(row, result)
        outcome.trained, outcome.wrong = len(verdict.turns), verdict.problems
        outcome.empty_blocks = sum(map(self.oracle.empty_blocks, result))
        return outcome

    def _try_way(self, outcome: Outcome, row: Mapping[str, Any], record: Record) -> None:
        """Apply the setting that the refusal names, if it names one."""
        stats = EncodingStats()
        stats.add_examples(outcome.reason, [("0", record.to_json(), 0)])
        way = find_ways_out(stats, self.settings).get(outcome.reason)
        if way is None:
            return
        outcome.way = way.partition(" trains ")[0]
        named = dict(setting.split("=", 1) for setting in outcome.way.split(" "))
        settings = self.settings
        for name, value in named.items():
            settings = with_setting(settings, name, value)
        result = RecordEncoder(settings).encode([record])[0]
        if isinstance(result, Drop):
            return
        outcome.way_trains = True
        for name, value in named.items():
            if name.startswith("chat_template_kwargs."):
                row = {**row, "chat_template_kwargs": {name.partition(".")[2]: json.loads(value)}}
        template = named.get("template", "auto")
        own = template == "auto" or template in self.settings.files.chat_templates
        kind = TextOracle if "tool_calls" in named else ZooOracle
        source = None if own else template_source(template)
        oracle = self.oracle if own and kind is ZooOracle else kind(self.folder, self.family.stops, source, DATE)
        outcome.way_wrong = oracle.verdict(row, result, named.get("reasoning", "")).problems


def with_setting(settings: EncodeSettings, name: str, value: str) -> EncodeSettings:
    """Settings changed as the command line would, by what a refusal names."""
    section, _, argument = name.partition(".")
    changed: Any = {**settings.chat_template_kwargs, argument: json.loads(value)} if argument else value
    return replace(settings, **{section: changed}, guarded_tokenizer=None)


def distinct(templates: Mapping[str, str]) -> dict[str, str]:
    """The templates without those that render every kind as an earlier one does."""
    seen: dict[tuple[str, ...], str] = {}
    for name, template in templates.items():
        seen.setdefault(tuple(renderings(template, family_of(name))) or (name,), name)
    return {name: templates[name] for name in seen.values()}
