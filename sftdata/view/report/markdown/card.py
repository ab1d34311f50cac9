"""The card of a dataset for the Hugging Face Hub: README.md, metadata as YAML and then Markdown.

The same dataset gives the same text: nothing in it depends on the time, on the folder that it is in, or on the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftdata.config import is_hub_id, parse_config
from sftdata.errors import ConfigError, pluralize
from sftdata.store.manifest import Manifest
from sftdata.view.dataset import Dataset
from sftdata.view.decoder import Decoder
from sftdata.view.figures import TEXT, Figures
from sftdata.view.html.card import packed_sentence, tiles_of
from sftdata.view.html.cells import read_card
from sftdata.view.layout import Table, bar, shortened
from sftdata.view.outcome import Caution, Facts, share_text
from sftdata.view.report.markdown.hub import COLUMNS, metadata
from sftdata.view.report.markdown.sample import masked_text
from sftdata.view.report.markdown.text import block, cell, code, sentence, table
from sftdata.view.report.page import title_of
from sftdata.view.report.texts import Masked, Names
from sftdata.view.summary import (
    Subject,
    Summary,
    by_stage,
    group_names,
    in_millions,
    mixture_table,
    remark,
    splits_table,
    summarize,
)

FOLDER = "shards"  # what the commands call the folder of the dataset
MAX_BINS = 10  # rows of a table of lengths
BAR_WIDTH = 20
MAX_GROUPS, MAX_NOTES = 50, 30


def dataset_card(dataset: Dataset, license: str | None = None) -> str:
    """The card of a whole dataset, which begins with its YAML. `license` is an id that the Hub knows, such as mit.

    Raises DatasetError if a file of the dataset is damaged.
    """
    whole = Dataset(dataset.path, dataset.manifest)
    names = Names(whole.manifest)
    facts, figures = read_card(whole)
    manifest = names.manifest(whole.manifest)
    title = title_of(names, whole)
    summary = summarize(title, manifest, facts=names.facts(facts) if facts is not None else None)
    assert summary.subject is not None  # it is the summary of a dataset
    body = _Body(whole, names, summary, summary.subject, figures)
    return f"---\n{metadata(title, whole.manifest, license)}---\n\n{body}"


@dataclass(frozen=True)
class _Body:
    """The Markdown of a card."""

    dataset: Dataset
    names: Names
    summary: Summary
    about: Subject
    figures: Figures | None

    def __str__(self) -> str:
        parts = [
            *self._head(),
            *self._warnings(),
            *self._use(),
            *self._sample(),
            *_funnel(self.about.manifest, self.about.facts, self.names),
            *self._sources(),
            *(_lengths(self.figures) if self.figures is not None else ()),
            *_tokenizer(self.about.manifest, self.dataset.decoder),
            *_settings(self.about.manifest),
            *self._notes(),
            *_versions(self.about.manifest),
        ]
        return "\n".join(part if part.endswith("\n") else f"{part}\n" for part in parts)

    def _head(self) -> Iterator[str]:
        manifest = self.about.manifest
        yield f"# {sentence(self.about.name)}"
        how = ", as text: each token but the first of a text is trained"
        if manifest.template is not None:
            is_own = manifest.template.source == "auto"
            template = "its chat template" if is_own else f"the chat template {code(manifest.template.source)}"
            how = f" and {template}; each token has a label that says whether it is trained"
        yield f"{sentence(packed_sentence(self.about))}. Tokenized with {code(manifest.tokenizer.source)}{how}."
        tiles = tiles_of(self.about, self.figures)
        yield table([sentence(name) for _, name in tiles], [[sentence(value) for value, _ in tiles]])
        if self.about.splits:
            yield _table(splits_table(self.about.splits, manifest.seq_len))

    def _warnings(self) -> Iterator[str]:
        if self.summary.warnings:
            yield "## Warnings"
            yield "".join(map(self._warning, self.summary.warnings))

    def _warning(self, one: Caution) -> str:
        ways = [f"  - set {code(self.names.text(one.setting))}\n"] if one.setting is not None else []
        ways += [f"  - see {code(self.names.text(one.example))}\n"] if one.example is not None else []
        return f"- {sentence(self.names.text(one.text))}\n{''.join(ways)}"

    def _use(self) -> Iterator[str]:
        if not self.about.splits:
            return
        split = next(iter(self.about.splits))
        yield "## How to load it"
        yield f"`{FOLDER}` is this folder. In the code, it may also be the name of the dataset on the Hub."
        yield block(
            f'from datasets import load_dataset\n\nsequences = load_dataset("{FOLDER}", split="{split}")', "python"
        )
        yield table(("column", "what it is"), [(cell(name), sentence(text)) for name, (_, text) in COLUMNS.items()])
        yield (
            "A sequence holds several samples. Attention and positions begin anew at each of them: "
            "`seq_lengths` says where. To look at samples as conversations:"
        )
        yield block(f'import sftdata\n\nsftdata.open("{FOLDER}").sample(0).messages', "python")
        yield "## How to train on it"
        tokenizer = self.about.manifest.tokenizer.source
        model = tokenizer if is_hub_id(tokenizer) and _PLAIN.fullmatch(tokenizer) else "MODEL"
        if model == "MODEL":
            yield "`MODEL` is the folder or hub id of a model that has this tokenizer."
        yield block(f"sftdata verify {FOLDER}\nsfttrain run {FOLDER} --model {model} --out run", "bash")

    def _sample(self) -> Iterator[str]:
        if not self.about.splits:
            return
        yield "## A sample"
        found = masked_text(self.dataset, Masked(self.dataset.manifest))
        if found is None:
            yield "No sample is shown: those that were looked at hold secrets or personal data."
            return
        place = found.sample.place
        named = f"{code(self.names.text(place))}, " if place is not None else ""
        broken = " `>` continues the line above it." if found.is_broken else ""
        marks = f"Lines that begin with `+` are trained, the others are read.{broken}"
        yield f"{named}{sentence(found.sample.counts)}. {marks}"
        yield block(found.text, "diff")

    def _sources(self) -> Iterator[str]:
        manifest, facts = self.about.manifest, self.about.facts
        by = facts.by if facts is not None else None
        yield f"## Sources by {sentence(by)}" if by else "## Sources"
        if facts is not None and facts.groups:
            yield from _groups(facts)
        else:
            yield "".join(f"- {code(source.path)}\n" for source in manifest.parts.sources) or "None are named."
        if manifest.mixture:
            yield _table(mixture_table(manifest))

    def _notes(self) -> Iterator[str]:
        lines = self.summary.lines
        if lines:
            yield "## Notes"
            more = [f"and {pluralize(len(lines) - MAX_NOTES, 'more note')}"] if len(lines) > MAX_NOTES else []
            yield "".join(f"- {sentence(self.names.text(line))}\n" for line in (*lines[:MAX_NOTES], *more))


_PLAIN = re.compile(r"[\w./-]+", re.ASCII)  # needs no quotes in a shell


def _table(shown: Table) -> str:
    """A table of the summary."""
    rows = [[cell(text) if at == 0 else sentence(text) for at, text in enumerate(row)] for row in shown.rows]
    numbers = set(range(len(shown.head))) - shown.text_columns
    return table([sentence(text) for text in shown.head], rows, numbers)


def _funnel(manifest: Manifest, facts: Facts | None, names: Names) -> Iterator[str]:
    """From rows read to rows packed."""
    counts = manifest.counts
    if not counts.rows_read:
        return
    yield "## Where the rows went"
    rows = [["rows read", "", f"{counts.rows_read:,}", "", "", ""]]
    for stage, reasons in by_stage(manifest.counts):
        for reason, number in reasons:
            first = counts.examples.get(reason)
            shown = [cell(names.text(first)) if first else "", sentence(remark(reason, facts))]
            rows.append([sentence(stage), cell(reason), f"-{number:,}", share_text(number, counts.rows_read), *shown])
    rows.append(["packed", "", f"{counts.packed:,}", share_text(counts.packed, counts.rows_read), "", ""])
    rows = [[*row[:3], row[3].replace("<", "&lt;").replace(">", "&gt;"), *row[4:]] for row in rows]
    yield table(("step", "reason", "rows", "share", "first", "what it means"), rows, {2, 3})
    if counts.num_dropped:
        yield (
            "`ledger/` has what happened to each row. `sftdata reasons REASON` explains a reason, and says what helps; "
            f"`sftdata why {FOLDER} ROW` explains what happened to a row."
        )


def _groups(facts: Facts) -> Iterator[str]:
    """What each source, or value of a kept column, gives to the dataset."""
    tokens = max(1, sum(one.tokens for one in facts.groups))
    trained = max(1, sum(one.trained_tokens for one in facts.groups))
    rows = [
        [
            cell(shortened(name, 100)),
            f"{group.rows:,}",
            *map(sentence, (share_text(group.rows - group.packed, group.rows), in_millions(group.tokens))),
            *map(sentence, (share_text(group.tokens, tokens), in_millions(group.trained_tokens))),
            sentence(share_text(group.trained_tokens, trained)),
        ]
        for name, group in zip(group_names(facts)[:MAX_GROUPS], facts.groups)
    ]
    head = (sentence(facts.by or "source"), "rows", "dropped", "tokens", "of all", "trained", "of all trained")
    yield table(head, rows, range(1, 7))
    if (more := len(facts.groups) - MAX_GROUPS) > 0:
        yield f"And {pluralize(more, 'more value' if facts.by else 'more source')}."


def _lengths(figures: Figures) -> Iterator[str]:
    """How long conversations are, and how much of them is trained, as tables with bars."""
    tokens, noun = figures.tokens, figures.noun
    yield "## Lengths and trained share"
    median = f"{figures.median:,.0f}" if figures.median == int(figures.median) else f"{figures.median:,.1f}"
    yield f"{pluralize(figures.number, noun)}: {median} tokens in the median, the longest {figures.longest:,}."
    step = -(-len(tokens.counts) // MAX_BINS)
    others = tokens.others or (0,) * len(tokens.counts)
    starts = [at for at in range(0, len(tokens.counts), step) if sum(tokens.counts[at:]) + sum(others[at:])]
    rows = []
    for at in starts:
        number, dropped = sum(tokens.counts[at : at + step]), sum(others[at : at + step])
        is_last = at + step >= len(tokens.counts)
        end = tokens.edges[min(at + step, len(tokens.counts))]
        label = (
            f"{tokens.edges[at]:,} or more" if is_last and tokens.is_open else f"{tokens.edges[at]:,} to {end - 1:,}"
        )
        rows.append(
            [label, f"{number:,}", *([f"{dropped:,}"] if figures.overlong else []), _bar(number, figures.number)]
        )
    head = ["tokens", f"{noun}s", *(["dropped as `overlong`"] if figures.overlong else []), ""]
    yield table(head, rows, range(1, len(head) - 1))
    if figures.shares is None:
        yield "Texts are trained from their second token on." if noun == TEXT else "Every token is trained."
        return
    edges, counts = figures.shares.edges, figures.shares.counts
    step = -(-len(counts) // MAX_BINS)
    rows = [
        [f"{edges[at]} to {edges[at + step]}%", f"{number:,}", _bar(number, figures.number)]
        for at, number in ((at, sum(counts[at : at + step])) for at in range(0, len(counts), step))
    ]
    yield table((f"trained share of a {noun}", f"{noun}s", ""), rows, {1})


def _bar(number: int, total: int) -> str:
    return bar(number / total, BAR_WIDTH) if number else ""


def _tokenizer(manifest: Manifest, decoder: Decoder) -> Iterator[str]:
    tokenizer, template = manifest.tokenizer, manifest.template
    yield "## Tokenizer and template"
    head = ["tokenizer", cell(tokenizer.source)]
    rows = [
        ["sha256 of `tokenizer/tokenizer.json`", cell(tokenizer.sha256)],
        ["vocabulary", f"{tokenizer.vocab_size:,} ids"],
    ]
    if template is not None:
        own = " (that of the tokenizer)" if template.source == "auto" else ""
        rows.append(["chat template", f"{cell(template.source)}{own}"])
        rows.append(["sha256 of `tokenizer/chat_template.jinja`", cell(template.sha256)])
    ends = [f"{cell(decoder.decode([id_]))} ({id_})" for id_ in tokenizer.end_of_turn_ids]
    rows += [["tokens that end an answer", ", ".join(ends)]] if ends else []
    yield table(head, rows)


def _settings(manifest: Manifest) -> Iterator[str]:
    """The settings that differ from the defaults, as a file for `sftdata prepare`."""
    yield "## Settings"
    given = {source.path: source.rows.count for source in manifest.parts.sources if source.rows is not None}
    try:
        config = parse_config(_for_a_file(manifest.config), "manifest")
        text = config.to_yaml()
    except ConfigError as error:
        import yaml

        yield f"Another version of sftdata wrote them, and this one reads them differently: {sentence(str(error))}"
        yield block(yaml.safe_dump(dict(manifest.config), sort_keys=False).rstrip("\n"), "yaml")
        return
    yield "Those that differ from the defaults, as a file for `sftdata prepare`. Paths are relative to that file:"
    yield block(text.rstrip("\n"), "yaml")
    for path, count in given.items():
        yield f"{code(path)} is {pluralize(count, 'row')} given in Python: write them to a file, and name it there."


def _for_a_file(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with an output folder, and paths in place of rows that were given in Python."""
    sources: Sequence[Any] = config.get("sources") or ()
    without = [
        {key: value for key, value in source.items() if key not in ("rows", "name") or source.get("rows") is None}
        for source in sources
    ]
    out = config.get("out")
    return {**config, "sources": without, "out": {**(out if isinstance(out, Mapping) else {}), "path": FOLDER}}


def _versions(manifest: Manifest) -> Iterator[str]:
    yield "## Versions"
    rows = [["seed", f"{manifest.seed}"], *([cell(name), cell(version)] for name, version in manifest.versions.items())]
    yield table(("dataset hash", cell(manifest.dataset_hash)), rows)
    yield (
        "The same data, settings and versions give the same dataset hash. "
        f"`sftdata verify {FOLDER}` proves from the files alone that the dataset is complete and its labels are right."
    )
