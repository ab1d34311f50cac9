"""The rows of a file as prompts: the ids that a model, trained on a dataset, was trained to answer.

A prompt is made as a sample is: the row is read, rendered by the dataset's template with its settings, and tokenized,
and the prompt is what comes before the last trained turn. So it is id for id what the answers of the dataset were
trained after. A row that ends with a question gets an answer for this, which is cut off again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sftdata.config import Config, SourceConfig, parse_config
from sftdata.errors import ConfigError, DatasetError, SourceError
from sftdata.records.labels import IGNORE
from sftdata.records.record import Drop, Message, Record
from sftdata.store.manifest import Manifest

if TYPE_CHECKING:
    from sftdata.encode.record_encoder import RecordEncoder
    from sftdata.read.formats.convert import RowFormat

_STAND_IN = "OK"  # an answer that is cut off again
# How a row of each format is written without its answer.
_NO_ANSWER = ({"completion": ""}, {"output": ""})
# Settings of a source that say nothing of how a row is read and rendered.
_OF_THE_FILE = frozenset(
    ["path", "rows", "name", "keep", "max_records", "repeat", "weight", "split", "subset", "format"]
)


class Prompt(NamedTuple):
    """A row as a prompt."""

    where: str  # file and line
    messages: tuple[tuple[str, str], ...]  # role and text of each message before the answer, as they were read
    ids: tuple[int, ...]
    reference: str | None  # the answer in the row, as the template writes it without its end; None without one
    row: Mapping[str, Any]  # as it is in the file


def read_prompts(dataset: str | Path, file: str | Path, *, like: str | None = None) -> list[Prompt]:
    """The rows of a file, in any format that `sftdata prepare` reads, as prompts for a model trained on a dataset.

    They are read with the settings that the sources of the dataset share: a system prompt, columns, names of roles,
    template arguments. `like` names the source whose settings count, where sources differ.

    Raises SourceError for a file or a row that cannot be read or rendered, by file and line; ConfigError where sources
    differ and `like` names none; DatasetError where the dataset is damaged.
    """
    folder = Path(dataset)
    manifest = Manifest.load(folder)
    if manifest.template is None:
        raise DatasetError(str(folder), "was prepared from texts without a template", "prompts need one of chats")
    config = _config(folder, manifest, Path(file), like)
    from sftdata.pipeline.encoding import load_encoder

    encoder = load_encoder(config)
    with_reasoning = _answers_reason(manifest)
    found = []
    for where, value, record in _records(config, encoder):
        found.append(_prompt(where, value, record, encoder, with_reasoning))
    if not found:
        raise SourceError(str(file), "has no rows", "give a file with a chat in each row")
    return found


def _config(folder: Path, manifest: Manifest, file: Path, like: str | None) -> Config:
    """The settings of the dataset, for one source: the file."""
    sources = [dict(one) for one in manifest.config["sources"]]
    if like is not None:
        named = [one for one in sources if one["path"] == like or Path(one["path"]).name == like]
        if not named:
            known = ", ".join(dict.fromkeys(one["path"] for one in sources))
            raise ConfigError("like", f"{like!r} is no source of {folder}", f"its sources are {known}")
        sources = named
    read_as = [{name: value for name, value in one.items() if name not in _OF_THE_FILE} for one in sources]
    for other in read_as[1:]:
        differing = [name for name in {**read_as[0], **other} if read_as[0].get(name) != other.get(name)]
        if differing:
            what = f"the sources of {folder} have different settings ({', '.join(sorted(differing))})"
            raise ConfigError(str(file), what, "name the source whose settings count, by its path")
    source = {**read_as[0], "path": str(file.resolve())}
    given = {
        **manifest.config,
        "tokenizer": str((folder / "tokenizer").resolve()),
        "template": str((folder / "tokenizer" / "chat_template.jinja").resolve()),
        "sources": [source],
        "train_on": "last",
        "overlong": "drop",
        "out": "out",
    }
    return parse_config(given, "manifest")


def _records(config: Config, encoder: RecordEncoder) -> Iterator[tuple[str, Mapping[str, Any], Record]]:
    """Each row of the file, with its place, and as a record that may lack its answer."""
    from sftdata.read.sources import plan_units, read_raw
    from sftdata.read.stage import row_format

    (source,) = config.resolved_sources()
    how = row_format(source, encoder.calls_written, encoder.settings.tool_calls)
    for unit in plan_units([source]):
        unit = unit._replace(end=None) if unit.kind == "jsonl" and unit.start == 0 else unit
        if unit.kind == "jsonl" and unit.start:
            continue  # a part of a file that was read whole
        for raw in read_raw(unit):
            where = f"{unit.name}:{raw.line}"
            if raw.drop is not None:
                raise _refused(where, raw.drop)
            yield where, raw.value if isinstance(raw.value, dict) else {}, _record(where, raw.value, source, how)


def _record(where: str, value: Any, source: SourceConfig, how: RowFormat) -> Record:
    """A row as a record. Raises SourceError."""
    from sftdata.read.formats.convert import convert

    found = convert(value, how).found
    for left_out in _NO_ANSWER if isinstance(value, dict) and isinstance(found, Drop) else ():
        if not left_out.keys() & value.keys():
            other = convert({**value, **left_out}, how).found
            found = other if isinstance(other, Record) else found
    if isinstance(found, Drop):
        raise _refused(where, found)
    if found.text is not None or not found.messages:
        raise _refused(where, Drop("no_messages", "it is a text and no chat"))
    return found


def _prompt(
    where: str, value: Mapping[str, Any], record: Record, encoder: RecordEncoder, with_reasoning: bool
) -> Prompt:
    """A record as a prompt. Raises SourceError where it cannot be rendered and proven as samples are."""
    from sftdata.read.formats.structure import check_structure

    *before, last = record.messages
    is_answered = last.role == "assistant" and bool(last.content or last.tool_calls)
    if last.role != "assistant":
        before = [*before, last]
    answer = last if is_answered else Message("assistant", _STAND_IN, "OK" if with_reasoning else None)
    asked = Record((*before, answer._replace(train=True)), record.tools, record.template_kwargs)
    problem = check_structure(asked, allow_same_role=True)
    if problem is not None:
        raise _refused(where, problem)
    (found,) = encoder.encode([asked])
    if isinstance(found, Drop):
        raise _refused(where, found)
    ids, labels = found[-1].input_ids, found[-1].labels
    trained = np.flatnonzero(labels != IGNORE)
    start = int(trained[np.flatnonzero(np.diff(trained, prepend=-2) > 1)[-1]])
    written = [int(id_) for id_ in ids[start : int(trained[-1]) + 1] if int(id_) not in encoder.end_ids]
    return Prompt(
        where,
        tuple((message.role, message.content or "") for message in before),
        tuple(ids[:start].tolist()),
        encoder.decode(written).strip() if is_answered else None,
        value,
    )


def _answers_reason(manifest: Manifest) -> bool:
    """Whether all answers of the dataset were trained with reasoning before them."""
    counts = manifest.encoding.thinking if manifest.encoding is not None else {}
    kinds = {name.partition(":")[0] for name, count in counts.items() if count}
    return kinds == {"on"}


def _refused(where: str, drop: Drop) -> SourceError:
    return SourceError(where, f"cannot be a prompt: {drop.detail or drop.reason}", "fix the row, or remove it")


def named_value(row: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value in a row under a dotted path; None where there is none."""
    value: Any = row
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
