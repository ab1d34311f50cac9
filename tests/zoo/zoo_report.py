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

# By a part of the refusal.
_CAUSES = (
    (
        "differently once it is answered",
        "The prompt opens a block of reasoning that the rendering of an answer without reasoning leaves out: the "
        "model would be trained to answer where it is to think; or an answer has no header or end of its own. Another "
        "template trains it, or reasoning in the data",
    ),
    (
        "no end-of-turn token after an answer",
        "The template writes nothing behind an answer at which a server stops: the model would never stop",
    ),
    (
        "at which no server stops",
        "The only token behind an answer begins the next turn, and is no stop. `stop_tokens` declares it",
    ),
    (
        "lost_field: tools",
        "The template writes calls but not the tools that they call: the prompt does not explain the answer. "
        "`lost_context=warn` trains it",
    ),
    (
        "the system's content",
        "The system message is in prompts that end with a user's message alone, and not behind results of tools",
    ),
    (
        "an empty thinking block in front",
        "The template has an empty block of thinking in front of the reasoning in a text",
    ),
    ("lost_field: reasoning", "The template writes reasoning with an argument alone, which the refusal names"),
    ("lost_field: content", "The template leaves out the reasoning at the head of a text"),
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
        "## Written, and not trained",
        "",
        "The conversations whose every field a template writes, and which are not trained with no setting.",
        "",
        "| why | conversations | templates |",
        "|---|---|---|",
        *_not_trained(outcomes),
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


def _not_trained(outcomes: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """The causes of what is written and not trained, with how many conversations of which templates."""
    by_cause: dict[str, Counter[str]] = defaultdict(Counter)
    for name, every in outcomes.items():
        for outcome in every:
            if outcome.writes_every_field and not outcome.trained:
                by_cause[_cause(outcome)][name] += 1
    return [
        f"| {_cell(why)} | {found.total()} | {', '.join(f'{name} ({number})' for name, number in found.items())} |"
        for why, found in sorted(by_cause.items(), key=lambda entry: (-entry[1].total(), entry[0]))
    ]


def _cause(outcome: Outcome) -> str:
    """Why a conversation is not trained, in a sentence; its refusal if no sentence fits."""
    detail = _short(outcome.detail)
    return next((why for part, why in _CAUSES if part in f"{outcome.reason}: {detail}"), f"{outcome.reason}: {detail}")


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
