"""`sftdata inspect`: show a dataset and its sequences, and find samples and dropped rows again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sftdata.cli import completion
from sftdata.cli.shared import DatasetFolder, fail, user_errors
from sftdata.settings.help_page import Command

if TYPE_CHECKING:
    from rich.console import Console

    from sftdata.view.dataset import Dataset
    from sftdata.view.find.samples import SampleTable

LIMIT, FEW = 5, 3  # found samples that are shown; longest ones
_WITH_NUMBER = {"--longest": str(FEW), "--least-trained": str(FEW)}  # options whose number may be left out
_FIND = "Find samples and rows"


class InspectCommand(Command):
    """Takes `--longest` and `--least-trained` without a number too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with the numbers that are left out."""
        given: list[str] = []
        for at, argument in enumerate(args):
            given.append(argument)
            is_given = at + 1 < len(args) and args[at + 1].lstrip("-").isdecimal()
            if argument in _WITH_NUMBER and not is_given:
                given.append(_WITH_NUMBER[argument])
        return super().parse_args(ctx, given)


@dataclass(frozen=True)
class _Wanted:
    """What is to be found, as the options say it; None: any."""

    where: str | None
    record: str | None
    search: str | None
    regex: bool
    trained_only: bool
    source: str | None
    random: int | None
    seed: int | None
    longest: int | None
    least_trained: int | None
    dropped: str | None
    limit: int | None
    data: Path | None

    def given(self) -> dict[str, Any]:
        """The options that are given, by their names on the command line."""
        values = {f"--{name.replace('_', '-')}": value for name, value in vars(self).items()}
        return {name: value for name, value in values.items() if value is not None and value is not False}


def _find(*names: str, **about: Any) -> Any:
    """An option that finds something."""
    return typer.Option(*names, rich_help_panel=_FIND, **about)


_Row = Annotated[
    int | None,
    typer.Option("--row", "--sequence", help="sequence to show, counted from 0 [default: the summary and 0]"),
]
_Where = Annotated[str | None, _find(metavar="FILE:LINE", help="the samples of an input row: chats.jsonl:17")]
_Record = Annotated[str | None, _find(metavar="ID", help="those of a record id, or the beginning of one")]
_Search = Annotated[str | None, _find(metavar="TEXT", help="samples that have this text")]
_Regex = Annotated[bool, _find("--regex", help="TEXT is a regular expression of Python")]
_TrainedOnly = Annotated[bool, _find("--trained-only", help="search only text that is trained")]
_Source = Annotated[str | None, _find(help="samples or rows of this source")]
_Random = Annotated[int | None, _find(min=1, metavar="N", help="N at random")]
_Seed = Annotated[int | None, _find(min=0, help="other random ones for another seed [default: 0]")]
_Longest = Annotated[int | None, _find(min=1, metavar="[N]", help=f"the longest samples [N: {FEW}]")]
_LeastTrained = Annotated[
    int | None, _find(min=1, metavar="[N]", help=f"those with the fewest trained tokens [N: {FEW}]")
]
_Dropped = Annotated[
    str | None,
    _find(
        metavar="REASON",
        help="rows that were dropped for this reason, with their texts, if the files are there and unchanged",
        autocompletion=completion.reasons,
    ),
]
_Limit = Annotated[int | None, _find(min=1, help=f"show at most N [default: {LIMIT}]")]
_MaxTokens = Annotated[
    int | None,
    typer.Option(min=1, help="maximum number of tokens to show of a sequence [4096], or of a found sample [1024]"),
]
_Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="folder that the paths of the sources start from, for texts of rows"),
]


def inspect(
    folder: DatasetFolder,
    row: _Row = None,
    split: Annotated[str | None, typer.Option(help="show only this split")] = None,
    where: _Where = None,
    record: _Record = None,
    search: _Search = None,
    regex: _Regex = False,
    trained_only: _TrainedOnly = False,
    source: _Source = None,
    random: _Random = None,
    seed: _Seed = None,
    longest: _Longest = None,
    least_trained: _LeastTrained = None,
    dropped: _Dropped = None,
    limit: _Limit = None,
    max_tokens: _MaxTokens = None,
    data: _Data = None,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="print everything at once on a terminal too")] = False,
) -> None:
    """Show a dataset and its sequences, or find samples and rows again. Trained tokens are marked."""
    wanted = _Wanted(
        where, record, search, regex, trained_only, source, random, seed, longest, least_trained, dropped, limit, data
    )
    with user_errors():
        _refuse_contradictions(wanted, row, split, max_tokens)
        from sftdata.safe.pager import paged
        from sftdata.view.dataset import open_dataset

        dataset = open_dataset(folder)
        dataset = dataset if split is None else dataset.split(split)
        with paged(not no_pager) as console:
            if not wanted.given():
                _show_sequence(dataset, row, max_tokens, console)
            elif dropped is not None:
                _show_dropped(dataset, wanted, console)
            else:
                _show_samples(dataset, wanted, max_tokens, console)


def _refuse_contradictions(wanted: _Wanted, row: int | None, split: str | None, max_tokens: int | None) -> None:
    """Raise ConfigError for options that cannot be followed together."""
    from sftdata.errors import ConfigError

    given: list[str] = list(wanted.given())

    def refuse(option: str, what: str, todo: str) -> None:
        raise ConfigError(option, what, todo)

    if row is not None and given:
        refuse("--row", f"shows a sequence by its number, and {given[0]} looks for samples", "leave one of them out")
    choices = [name for name in ("--random", "--longest", "--least-trained") if name in given]
    if len(choices) > 1:
        refuse(choices[0], f"and {choices[1]} choose in two ways", "leave one of them out")
    for name, needed in (("--regex", "--search"), ("--trained-only", "--search"), ("--seed", "--random")):
        if name in given and needed not in given:
            refuse(name, f"does nothing without {needed}", f"give {needed}, or leave it out")
    if wanted.dropped is not None:
        of_samples = [name for name in given if name in ("--search", "--longest", "--least-trained")]
        of_samples += ["--split"] * (split is not None) + ["--max-tokens"] * (max_tokens is not None)
        if of_samples:
            refuse("--dropped", f"shows rows that became no samples, of which {of_samples[0]} speaks", "leave one out")
    elif wanted.data is not None and wanted.where is None and wanted.record is None:
        refuse(
            "--data", "is for texts of rows that were dropped", "give --dropped, --where or --record, or leave it out"
        )
    if given in (["--limit"], ["--data"], ["--limit", "--data"]):
        refuse("--limit", "does nothing without something to look for", "give --search, --source or another of these")


def _show_sequence(dataset: Dataset, row: int | None, max_tokens: int | None, console: Console) -> None:
    from sftdata.view.terminal import MAX_TOKENS, print_row, print_summary

    if row is None:
        print_summary(dataset, console)
        console.print()
    if row is not None or len(dataset):
        print_row(dataset, row or 0, console, max_tokens=max_tokens or MAX_TOKENS)


def _show_samples(dataset: Dataset, wanted: _Wanted, max_tokens: int | None, console: Console) -> None:
    """Print the samples that are wanted; exits with 1 if there are none."""
    from sftdata.errors import pluralize
    from sftdata.view.find.search import query_of
    from sftdata.view.find.show import counted, next_line, print_found
    from sftdata.view.terminal import print_lines

    query = None if wanted.search is None else query_of(wanted.search, wanted.regex, wanted.trained_only)
    chosen = dataset.samples.where(wanted.where, source=wanted.source, record_id=wanted.record)
    found = chosen
    if wanted.search is not None:
        found = chosen.search(wanted.search, wanted.regex, wanted.trained_only)
    if not found:
        if _show_row_without_samples(dataset, wanted, console):
            return
        fail(_nothing_found(dataset, wanted, chosen))
    shown, how = _chosen(found, wanted)
    conditions = _conditions(wanted)
    about = f"{counted(len(found), dataset.num_samples, 'sample')} {conditions}"
    about = about if conditions else pluralize(len(found), "sample")
    lines = [[(f"{about}{how}", "bold")]]
    if len(shown) < len(found) and not how:
        lines.append([(f"the first {len(shown)} are shown: --limit {len(found)} shows all", "dim")])
    print_lines(lines, console)
    print_found(shown, console, query, max_tokens)
    sequence = dataset.row_number(shown[0].shard, shown[0].row)
    of_split = () if dataset.split_name is None else ("--split", dataset.split_name)
    print_lines([next_line(dataset, "inspect", "--row", str(sequence), *of_split)], console)


def _chosen(found: SampleTable, wanted: _Wanted) -> tuple[SampleTable, str]:
    """Those that are shown, and how they were chosen."""
    if wanted.random is not None:
        shown, how = found.random(wanted.random, wanted.seed or 0), f"; at random, seed {wanted.seed or 0}"
    elif wanted.longest is not None:
        shown, how = found.sort("num_tokens", descending=True)[: wanted.longest], "; the longest first"
    elif wanted.least_trained is not None:
        shown, how = found.sort("num_trained_tokens")[: wanted.least_trained], "; the least trained first"
    else:
        return found[: wanted.limit or LIMIT], ""
    return shown[: wanted.limit] if wanted.limit else shown, f"{how}: {len(shown[: wanted.limit]):,} shown"


def _conditions(wanted: _Wanted) -> str:
    """What is said of the samples that are looked for."""
    from sftdata.safe.control_chars import terminal_safe

    conditions = [f"from {wanted.where}"] if wanted.where is not None else []
    conditions += [f"of record {wanted.record}"] if wanted.record is not None else []
    conditions += [f"of {wanted.source}"] if wanted.source is not None else []
    if wanted.search is not None:
        place = " in trained text" if wanted.trained_only else ""
        conditions.append(f"that {'match' if wanted.regex else 'have'} {wanted.search!r}{place}")
    return terminal_safe(" ".join(conditions))


def _show_row_without_samples(dataset: Dataset, wanted: _Wanted, console: Console) -> bool:
    """If one row is looked for and it was dropped, print what happened to it; whether that was so.

    Raises DatasetError if there is no such row.
    """
    from sftdata.view.terminal import print_lines

    row = wanted.where or wanted.record
    if row is None or wanted.search is not None or wanted.source is not None or dataset.split_name is not None:
        return False
    width = console.width if console.is_terminal else None
    for number, one in enumerate(dataset.why(row, wanted.data)):
        print_lines([*([[]] if number else []), *one.lines(width)], console)
    return True


def _nothing_found(dataset: Dataset, wanted: _Wanted, chosen: SampleTable) -> str:
    """That nothing was found, and what was searched."""
    from sftdata.errors import pluralize

    what = f"{dataset.name}: no samples {_conditions(wanted)}"
    if wanted.search is None:
        return f"{what}; it has {pluralize(dataset.num_samples, 'sample')}"
    what += f"; {pluralize(len(chosen), 'sample')} searched, in upper and lower case as given"
    pattern = "(?i)" + (wanted.search if wanted.regex else re.escape(wanted.search).replace("\\ ", " "))
    number = len(chosen.search(pattern, True, wanted.trained_only)) if "(?i)" not in wanted.search else 0
    if number:
        words = [
            str(dataset.path),
            "--regex",
            "--search",
            pattern,
            *(["--trained-only"] if wanted.trained_only else []),
        ]
        for name, value in (("--where", wanted.where), ("--source", wanted.source), ("--split", dataset.split_name)):
            words += [name, value] if value is not None else []
        command = " ".join(shlex.quote(word) for word in ("sftdata", "inspect", *words))
        what += f"; {number:,} {'has' if number == 1 else 'have'} it in another case: {command}"
    return what


def _show_dropped(dataset: Dataset, wanted: _Wanted, console: Console) -> None:
    """Print the dropped rows that are wanted; exits with 1 if there are none."""
    import random

    from sftdata.view.find.show import counted, next_line, print_dropped
    from sftdata.view.find.texts import InputTexts
    from sftdata.view.terminal import print_lines

    every = dataset.dropped
    found = every.where(wanted.where, reason=wanted.dropped, source=wanted.source, record_id=wanted.record)
    if not found:
        raised = ", ".join(f"{number:,} {reason}" for reason, number in every.counts().items())
        fail(f"{dataset.name}: no row was dropped as {wanted.dropped}; dropped were {raised or 'none'}")
    numbers = list(range(len(found)))
    if wanted.random is not None:
        numbers = random.Random(wanted.seed or 0).sample(numbers, min(wanted.random, len(numbers)))
    numbers = numbers[: wanted.limit or (None if wanted.random is not None else LIMIT)]
    rows: list[Mapping[str, Any]] = found.to_arrow().take(numbers).to_pylist()
    print_lines([[(f"{counted(len(found), len(every), 'dropped row')} as {wanted.dropped}", "bold")]], console)
    if len(rows) < len(found):
        chosen = "chosen at random" if wanted.random is not None else "the first"
        print_lines([[(f"{len(rows)} are shown, {chosen}: --limit {len(found)} shows all", "dim")]], console)
    print_dropped(rows, InputTexts(dataset.path, dataset.manifest, wanted.data).texts(rows), console)
    print_lines([[], next_line(dataset, "why", rows[0]["where"])], console)
