"""What the summary says of columns that nothing uses, those with content of their own first, a line for each; of tool
calls in texts; and of settings that contradict each other, or do nothing.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from sftdata.safe.control_chars import terminal_safe

MAX_LINES = 8  # for single columns; the others share a line
# Columns of bookkeeping, which no one expects in a conversation.
_BOOKKEEPING = re.compile(
    r"""ids? | idx | index | uu?id | guid | hash | sha256 | md5 | sources? | dataset | origin | split | subset | config
    | domain | category | categories | topic | tags? | labels? | type | task | lang | languages? | locale | licen[sc]e
    | url | link | scores? | rating | reward | quality | difficulty | level | rank | weight | date | time | timestamp
    | created | version | model | generator | author | user | username | length | count | tokens | turns | meta
    | metadata | extra | info | row
    | (num | n)_.* | .*[_. -](ids? | at | hash | score | date | time | type | url | count | length | len | tokens | name
    | number | level | model)""",
    re.VERBOSE,
)


def unused_lines(entries: Iterable[tuple[str, str, int]]) -> list[str]:
    """Lines for columns that hold something unused, each given with its source and its number of rows."""
    entries = list(entries)
    by_column: dict[str, int] = {}
    for _, column, rows in entries:
        by_column[column] = by_column.get(column, 0) + rows
    ordered = sorted(by_column.items(), key=lambda item: (-item[1], item[0]))
    own = [(name, rows) for name, rows in ordered if not is_bookkeeping(name)]
    rest = own[MAX_LINES:] + [(name, rows) for name, rows in ordered if is_bookkeeping(name)]
    lines = [f"{_rows(rows)} {_place(name)} that is not used" for name, rows in own[:MAX_LINES]]
    if len(rest) == 1:
        lines.append(f"{_rows(rest[0][1])} {_place(rest[0][0])} that is not used")
    elif rest:
        lines.append("also not used: " + ", ".join(f"`{terminal_safe(name)}` ({rows:,})" for name, rows in rest))
    return lines


_FATES = {
    "parsed": "or results, read out of their texts ({}); tool_calls_in_text: keep would leave them there",
    "kept": "left in their texts ({}), by tool_calls_in_text: keep",
    "unwritten": "left in their texts ({}), because the template writes no tool calls; tool_calls_in_text: drop would "
    "drop these rows",
    "unread": "left in their texts, in a form or a place that is not certain ({}); tool_calls_in_text: drop would drop "
    "these rows",
}


def calls_lines(entries: Iterable[tuple[str, Sequence[str], int]]) -> list[str]:
    """Lines for tool calls in texts, given with what happened to them, their forms, and the number of rows."""
    entries = list(entries)
    lines = []
    for fate, sentence in _FATES.items():
        forms: dict[str, int] = {}
        for _, names, number in (entry for entry in entries if entry[0] == fate):
            for name in names:
                forms[name] = forms.get(name, 0) + number
        rows = sum(entry[2] for entry in entries if entry[0] == fate)
        ordered = sorted(forms.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{terminal_safe(name)} {number:,}" for name, number in ordered)
        have = "has what looks like tool calls" if rows == 1 else "have what looks like tool calls"
        what = f"{_rows(rows)} tool calls" if fate != "unread" else f"{rows:,} {'row' if rows == 1 else 'rows'} {have}"
        if rows:
            lines.append(f"{what} {sentence.format(named)}")
    return lines


def is_bookkeeping(column: str) -> bool:
    """Whether a column, or a key of a turn, has the name of an id, a date, a score and the like."""
    return _BOOKKEEPING.fullmatch(column.rpartition("[].")[2].lower()) is not None


def _rows(rows: int) -> str:
    return f"{rows:,} row has" if rows == 1 else f"{rows:,} rows have"


def _place(column: str) -> str:
    """`a column `thinking``, or `a key `timestamp` in its `messages``."""
    name = terminal_safe(column)
    outer, inside, key = name.rpartition("[].")
    if inside:
        return f"a key `{key}` in `{outer}`"
    return f"a column `{name}`"


_PLAIN = re.compile(r"(?!(?:on|off|yes|no|y|n|true|false|null)\Z)[A-Za-z][\w ]*[\w.]", re.IGNORECASE)


def override(dotted: str, value: Any) -> str:
    """A setting for the command line, quoted for a shell: `'sources.0.system=Be brief.'`. Writes JSON, which is YAML,
    where that is not a plain word or sentence; importing a library for YAML takes longer than all of a summary.
    """
    text = value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return shlex.quote(f"{dotted}={text}")


def contradictions(config: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """What is said of settings that do not fit together, each with the setting that would put it right, if one does.

    `config` is that of a manifest, whose values may be of any type.
    """
    return [*_of_thinking(config), *_of_rows(config), *_of_sizes(config)]


def _of_thinking(config: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    thinking = config.get("thinking")
    if thinking == "on" and config.get("reasoning") == "drop":
        text = "thinking: on asks the model to think, and reasoning: drop leaves out what it would have to think"
        yield text, override("thinking", "off")
    if thinking == "on" and config.get("train_empty_thinking") is True:
        text = "thinking: on asks the model to think, and train_empty_thinking: true trains it not to"
        yield text, override("train_empty_thinking", False)
    switch = group_in(config, "chat_template_kwargs").get("enable_thinking")
    if isinstance(switch, bool) and thinking == ("off" if switch else "on"):
        said = f"chat_template_kwargs: {{enable_thinking: {str(switch).lower()}}}"
        text = f"thinking: {thinking} and {said} contradict each other"
        yield text, override("thinking", "on" if switch else "off")


def _of_rows(config: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    dedup, split, filters = (group_in(config, name) for name in ("dedup", "split", "filters"))
    if dedup.get("exact") is False and dedup.get("near") is not None:
        text = "dedup.exact: false keeps exact duplicates, and dedup.near drops them as near-duplicates"
        yield text, override("dedup.exact", True)
    if not split.get("validation") and split.get("by", "content") != "content":
        text = f"split.by: {split['by']} does nothing, for split.validation holds nothing out"
        yield text, override("split.validation", 0.05)
    elif _number(split.get("validation")) and 0.5 <= split["validation"] < 1:
        text = f"split.validation: {split['validation']} holds out more than is trained on"
        yield text, override("split.validation", 0.05)
    for unit in ("chars", "words"):
        least, most = filters.get(f"min_answer_{unit}"), filters.get(f"max_answer_{unit}")
        if _number(least) and _number(most) and least > most:
            yield f"no answer is as long as filters.min_answer_{unit} and as short as filters.max_answer_{unit}", None
    decontaminate = group_in(config, "decontaminate")
    defaults = {"ngram_words": 8, "overlap": 0.5}
    changed = [name for name, value in defaults.items() if decontaminate.get(name, value) != value]
    if changed and not decontaminate.get("against"):
        text = f"decontaminate.{changed[0]} does nothing, for decontaminate.against names no evaluation files"
        yield text, None


def _of_sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    shard, sequence = group_in(config, "out").get("shard_tokens"), group_in(config, "pack").get("seq_len")
    if _number(shard) and _number(sequence) and shard < sequence:
        text = f"out.shard_tokens ({shard:,}) is less than pack.seq_len ({sequence:,}): no shard holds a full sequence"
        yield text, override("out.shard_tokens", 50_000_000)


def group_in(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A group of settings; an empty one where it is not there, or is none."""
    group = config.get(name)
    return group if isinstance(group, Mapping) else {}


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
