"""docs/families.md: what is trained under each template of the zoo, and why the rest is not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from zoo_chats import CHATS
from zoo_fetch import COLLECTIONS
from zoo_measure import Outcome

_LINES = (
    ("conversations", "conversations"),
    ("trained", "trained with no setting"),
    ("trained in part", "of these, without one or more of their answers"),
    ("every field written", "conversations whose every field the template writes"),
    ("of these trained", "of these, trained with no setting"),
    ("trained with the named", "trained with no setting, or with what the refusal names"),
    ("empty blocks", "trained with an empty block of thinking"),
    ("wrong", "wrong masks or prompts"),
    ("wrong with the named", "wrong masks or prompts with what the refusal names"),
)


def totals(outcomes: Mapping[str, Sequence[Outcome]]) -> Counter[str]:
    """The figures over all families."""
    found: Counter[str] = Counter()
    for outcome in (outcome for every in outcomes.values() for outcome in every):
        found["conversations"] += 1
        found["trained"] += outcome.trained > 0
        found["trained in part"] += 0 < outcome.trained < outcome.answers
        found["every field written"] += outcome.writes_every_field
        found["of these trained"] += outcome.writes_every_field and outcome.trained > 0
        found["trained with the named"] += outcome.trained > 0 or outcome.way_trains
        found["wrong"] += bool(outcome.wrong)
        found["empty blocks"] += outcome.empty_blocks > 0
        found["wrong with the named"] += bool(outcome.way_wrong)
        found["refused, but the oracle proves it"] += not outcome.trained and outcome.provable == outcome.answers
    return found


def document(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """The text of docs/families.md."""
    figures = totals(outcomes)
    packages = ", ".join(f"{collection.package} {collection.version}" for collection in COLLECTIONS)
    lines = [
        "# Chat templates of many families",
        "",
        "`make zoo` writes this file. It gives ordinary conversations to chat templates of other projects, and has",
        "every trained turn judged by the oracle of `tests/encode/oracle.py` and by the prompts of transformers.",
        "",
        f"- {len(outcomes)} templates: those of {packages},",
        "  without those that write every conversation as another does;",
        "- each on a small tokenizer that has its markers as tokens, and the stop tokens that its publisher names",
        "  (`tests/zoo/zoo_stops.py`);",
        f"- {len(CHATS)} kinds of conversation: {', '.join(CHATS)}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {words} | {_figure(figures, key)} |" for key, words in _LINES),
        "",
        "## By template",
        "",
        "Of the 18 kinds: how many are trained with no setting, of how many the template writes every field, how many",
        "are trained once what the refusal names is set, and why the others are not trained.",
        "",
        "| template | trained | every field written | with what is named | not trained with no setting |",
        "|---|---|---|---|---|",
        *(_line(name, every) for name, every in outcomes.items()),
        "",
    ]
    return "\n".join(lines)


def _figure(figures: Mapping[str, int], key: str) -> str:
    whole = {
        "trained": "conversations",
        "of these trained": "every field written",
        "trained with the named": "conversations",
    }.get(key)
    number = f"{figures[key]:,}"
    return number if whole is None else f"{number} ({figures[key] / max(1, figures[whole]):.1%})"


def _line(name: str, every: Sequence[Outcome]) -> str:
    trained = sum(outcome.trained > 0 for outcome in every)
    written = sum(outcome.writes_every_field for outcome in every)
    named = sum(outcome.trained > 0 or outcome.way_trains for outcome in every)
    reasons: dict[str, list[str]] = defaultdict(list)
    for outcome in every:
        if outcome.reason:
            why = f"{outcome.reason}: {_short(outcome.detail)}"
            reasons[why].append(f"{outcome.kind} (`{outcome.way}`)" if outcome.way_trains else outcome.kind)
    parts = [
        f"**{_cell(why)}**: {'all' if len(kinds) == len(CHATS) else '; '.join(kinds)}"
        for why, kinds in sorted(reasons.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    ]
    return f"| {name} | {trained} | {written} | {named} | {'<br>'.join(parts)} |"


def _short(detail: str) -> str:
    """A detail without the number of its turn, and without what to do."""
    text = detail.partition("; ")[0].removeprefix("the tokenizer's chat template: ")
    head, _, rest = text.partition(": ")
    return rest if head.startswith("turn ") else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<").replace("\n", " ")
