"""What `sfttrain eval` finds: figures, answers and checks of one or two models, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sftdata.view.layout import Table
from sfttrain.evaluate.checks import Outcome, Tally

ALL = "all"
ARROW = " -> "  # from before to after
KINDS = {"loss": "loss", "accuracy": "accuracy", "bits per byte": "bits_per_byte", "perplexity": "perplexity"}


class Answer(NamedTuple):
    """The answer of a model to a prompt."""

    where: str
    messages: tuple[tuple[str, str], ...]  # role and text of the prompt's messages
    reference: str | None
    text: str
    checks: Mapping[str, Outcome]


@dataclass(frozen=True, slots=True)
class Judged:
    """A model that was judged."""

    name: str
    figures: Mapping[str, Any]  # see figures.py
    answers: tuple[Answer, ...]
    tallies: tuple[Tally, ...]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        answers = [
            {
                "where": one.where,
                "answer": one.text,
                "reference": one.reference,
                "checks": {name: found._asdict() for name, found in one.checks.items()},
            }
            for one in self.answers
        ]
        return {
            "model": self.name,
            "figures": dict(self.figures),
            "checks": [one.as_json() for one in self.tallies],
            "answers": answers,
        }


class TaskFigure(NamedTuple):
    """A metric of a task of lm-evaluation-harness, of each model."""

    task: str
    metric: str
    filter: str  # how answers were read; "none": as they are
    values: tuple[float | None, ...]
    stderr: tuple[float | None, ...]
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The models in the order before, after; or one alone."""

    shards: str
    dataset_hash: str
    split: str
    models: tuple[Judged, ...]
    tasks: tuple[TaskFigure, ...] = ()

    @property
    def missed(self) -> list[Tally]:
        """The checks whose bar the last model misses."""
        return [one for one in self.models[-1].tallies if not one.met]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "ok": not self.missed,
            "shards": self.shards,
            "dataset_hash": self.dataset_hash,
            "split": self.split,
            "models": [one.as_json() for one in self.models],
            **({"lm_eval": [one._asdict() for one in self.tasks]} if self.tasks else {}),
        }

    def tables(self) -> list[Table]:
        """The figures of all tokens, of each source and turn where there are several, and the checks."""
        tables = [_figures_table("", [(ALL, [one.figures for one in self.models])])]
        for title, key in (("By source", "sources"), ("By turn of the conversation", "turns")):
            names = list(dict.fromkeys(name for one in self.models for name in one.figures[key]))
            if len(names) > 1:
                rows = [(last_part(name), [one.figures[key].get(name, {}) for one in self.models]) for name in names]
                tables.append(_figures_table(title, rows))
        tables += [_checks_table(self.models)] if self.models[-1].tallies else []
        return [*tables, *([_tasks_table(self.tasks)] if self.tasks else [])]


def _figures_table(title: str, rows: list[tuple[str, list[Mapping[str, Any]]]]) -> Table:
    """A row for each source or turn; of two models, each figure before and after."""
    cells = [
        (
            name,
            f"{found[-1].get('tokens', 0):,}",
            *(_from_to([_number(key, one.get(key)) for one in found]) for key in KINDS.values()),
        )
        for name, found in rows
    ]
    perplexity = list(KINDS).index("perplexity") + 2
    return Table(("", "tokens", *KINDS), tuple(cells), frozenset([0]), title=title, optional=frozenset([perplexity]))


def _checks_table(models: tuple[Judged, ...]) -> Table:
    rows = []
    for at, last in enumerate(models[-1].tallies):
        passed = ARROW.join(f"{one.tallies[at].passed:,}" for one in models)
        share = ARROW.join(f"{one.tallies[at].share:.2f}" for one in models)
        bar = "-" if last.at_least is None else f"{last.at_least:.2f}"
        rows.append((last.name, passed, f"{last.answers:,}", share, bar, "" if last.met else "missed"))
    head = ("check", "pass", "of", "share", "at least", "")
    return Table(head, tuple(rows), frozenset([0, len(head) - 1]), title="Checks on the answers")


def _tasks_table(tasks: tuple[TaskFigure, ...]) -> Table:
    rows = []
    for one in tasks:
        metric = one.metric if one.filter == "none" else f"{one.metric} ({one.filter})"
        samples = "-" if one.samples is None else f"{one.samples:,}"
        rows.append((one.task, metric, samples, *(_task_numbers(found) for found in (one.values, one.stderr))))
    head = ("task", "metric", "samples", "value", "standard error")
    return Table(head, tuple(rows), frozenset([0, 1]), title="Tasks of lm-evaluation-harness", optional=frozenset([4]))


def _task_numbers(numbers: tuple[float | None, ...]) -> str:
    return _from_to(["-" if number is None else f"{number:.4f}" for number in numbers])


def _from_to(numbers: list[str]) -> str:
    """`0.31 -> 0.82`; one `-` where nothing is known."""
    return ARROW.join(numbers) if set(numbers) != {"-"} else "-"


def _number(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if key == "accuracy" else f"{value:,.2f}" if key == "perplexity" else f"{value:.4f}"


def shown_name(name: str) -> str:
    """A hub id, or the name of a folder without the path to it."""
    path = Path(name)
    return path.resolve().name if path.is_dir() else name


def last_part(name: str) -> str:
    """The last part of a path that begins at the root; another name as it is."""
    return Path(name).name if name.startswith(("/", "~")) else name
