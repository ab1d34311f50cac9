"""The settings that an audit suggests: a line for each kind of finding, and all of them as one settings file.

A line contains the present settings of its group, so that it can take their place: nothing that is set gets lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sftdata.audit.findings import QUALITY_FILTERS, TRAILING_CONTROL, Finding
from sftdata.audit.source_settings import SourceAdvice
from sftdata.config import Config
from sftdata.curate.duplicates.settings import NearConfig, SemanticConfig
from sftdata.curate.privacy.settings import KINDS
from sftdata.curate.quality.settings import FilterConfig
from sftdata.read.advice import FIXABLE
from sftdata.safe.addresses import written_address
from sftdata.settings.yaml_line import settings_line

_ORDER = ("tokenizer", "template", "sources", "clean", "check_tool_calls", "filters", "privacy", "dedup")


class Suggestions:
    """What to change in a config because of an audit's findings."""

    def __init__(self, config: Config, advice: SourceAdvice) -> None:
        """`advice` has settings for sources that were tried on their rows."""
        self._config = config
        self._present = _present_settings(config)
        self._advice = advice

    def line(self, kind: str) -> str | None:
        """The setting that handles a kind of finding, as a line of YAML; None if such rows are always dropped."""
        change = self._change(kind)
        if change is None:
            return None
        (group,) = change
        return settings_line({group: _merged(self._present.get(group), change[group])})

    def keywords(self, findings: Iterable[Finding]) -> dict[str, Any]:
        """The groups of settings that change because of the findings, as keywords of a call. Settings of sources are
        among them if there is one source, and by their own names.
        """
        found: dict[str, Any] = {}
        for finding in findings:
            for group, value in (self._change(finding.kind) or {}).items():
                if group != "sources":
                    found[group] = _merged(found.get(group, self._present.get(group)), value)
                elif len(value) == 1:
                    found |= self._advice.settings.get(0, {})
        return found

    def document(self, findings: Iterable[Finding]) -> str:
        """The present settings with those for all findings, as a settings file; an empty string if nothing changes."""
        settings = dict(self._present)
        kinds: dict[str, list[str]] = {}
        for finding in findings:
            for group, value in (self._change(finding.kind) or {}).items():
                settings[group] = _merged(settings.get(group), value)
                kinds.setdefault(group, []).append(f"{finding.kind} {finding.rows:,}")
        if not kinds or any(source.rows is not None for source in self._config.sources):
            return ""  # rows that were given as objects have no place in a file
        lines = []
        for group in sorted(settings, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)):
            if group in kinds:
                lines.append(f"# rows: {', '.join(kinds[group])}")
            lines.append(settings_line({group: settings[group]}))
        return "".join(f"{line}\n" for line in lines)

    def _change(self, kind: str) -> dict[str, Any] | None:
        """The settings to add for a kind of finding: one group of settings."""
        config = self._config
        if kind in FIXABLE:
            return {"sources": self._sources()} if self._advice.fixed(kind) else None
        if kind in QUALITY_FILTERS:
            return {"filters": _not_weaker(QUALITY_FILTERS[kind], config.filters)}
        if kind in KINDS:
            return {"privacy": {} if config.privacy.mode not in ("off", "report") else {"mode": "redact"}}
        if kind == "near_duplicate":
            return {"dedup": {"near": _comparison(config.dedup.near or NearConfig())}}
        if kind == "semantic_duplicate" and config.dedup.semantic is not None:
            return {"dedup": {"semantic": _comparison(config.dedup.semantic)}}
        always: dict[str, dict[str, Any]] = {
            "invalid_tool_call": {"check_tool_calls": True},
            "duplicate": {"dedup": {"exact": True}},
            "contaminated": {"decontaminate": self._present.get("decontaminate", {})},
            "wrong_language": {"filters": _filters(config.filters)},
            TRAILING_CONTROL: {"clean": {"strip_trailing_control": True}},
        }
        return always.get(kind)

    def _sources(self) -> list[Any]:
        """All sources, those with suggestions changed."""
        return [
            {**source, **self._advice.settings.get(number, {})}
            for number, source in enumerate(self._present["sources"])
        ]


def _present_settings(config: Config) -> dict[str, Any]:
    """The settings of a config that are not the defaults, without those that an audit does not need."""
    unset = {name for name, value in (("tokenizer", config.tokenizer), ("out", config.out.path)) if not value}
    if config.template == Config.model_fields["template"].default:
        unset.add("template")  # pydantic writes a field that has a serializer even where it is the default
    settings = config.model_dump(exclude_defaults=True, exclude={*unset, "filters", "sources"})
    addresses = [settings, *settings.get("decontaminate", {}).get("against", ())]  # those of sources have none
    for group in addresses:
        shown = {name: written_address(group[name]) for name in ("path", "tokenizer", "template") if name in group}
        group.update(shown)
    sources = [source.model_dump(exclude_defaults=True, exclude={"rows"}) for source in config.sources]
    filters = {} if config.filters.is_off else {"filters": _filters(config.filters)}
    return {**settings, "sources": sources, **filters}


def _filters(filters: FilterConfig) -> dict[str, Any]:
    """Filters as their preset and what differs from it."""
    preset = "off" if filters.is_off else filters.preset
    usual = FilterConfig(preset=preset).model_dump()
    differing = {name: value for name, value in filters.model_dump().items() if value != usual[name]}
    return {"preset": preset, **differing}


def _not_weaker(change: Mapping[str, Any], filters: FilterConfig) -> dict[str, Any]:
    """The change without what is as strict or stricter in the present filters; with the preset that they start from."""
    present = {
        "residue": filters.residue == "anywhere",
        "min_answer_chars": filters.min_answer_chars >= 1,
        "max_answer_words": filters.max_answer_words is not None,
        "cut_off_min_chars": filters.cut_off and filters.cut_off_min_chars <= 40,
        "repetition": filters.repetition.enabled and filters.preset == "strict",
    }
    preset = "off" if filters.is_off else filters.preset
    return {"preset": preset, **{name: value for name, value in change.items() if not present.get(name, False)}}


def _comparison(settings: NearConfig | SemanticConfig) -> dict[str, Any]:
    """A comparison: the threshold, and the settings that are not the defaults."""
    return {"threshold": settings.threshold, **settings.model_dump(exclude_defaults=True)}


def _merged(present: Any, change: Any) -> Any:
    """Settings with others in their place."""
    if isinstance(present, Mapping) and isinstance(change, Mapping):
        return {**present, **{name: _merged(present.get(name), value) for name, value in change.items()}}
    return change
