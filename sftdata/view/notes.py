"""What the summary says of a dataset without warning of it: what was met in texts, and what was done about it."""

from __future__ import annotations

from collections.abc import Mapping

from sftdata.errors import pluralize
from sftdata.safe.control_chars import terminal_safe
from sftdata.store.manifest import EncodingEntry, Manifest
from sftdata.view.layout import first_few
from sftdata.view.unused import calls_lines, unused_lines


def notes_on(manifest: Manifest) -> list[str]:
    """What is said of the data without being a warning."""
    lines = [] if manifest.encoding is None else _encoding_lines(manifest.encoding)
    lines += _privacy_lines(manifest)
    lines += map(terminal_safe, manifest.notes)
    lines += calls_lines((entry.fate, entry.forms, entry.rows) for entry in manifest.calls_in_text)
    return lines + unused_lines((entry.source, entry.column, entry.rows) for entry in manifest.unused)


def ways_out(manifest: Manifest) -> dict[str, str]:
    """The settings that train rows which were dropped, by reason, if prepare found some."""
    ways = {} if manifest.encoding is None else manifest.encoding.ways_out
    return {reason: way.partition(" trains ")[0] for reason, way in ways.items() if " trains " in way}


def _encoding_lines(encoding: EncodingEntry) -> list[str]:
    """Control strings found in texts, and what was done to overlong conversations; no lines if there were none."""
    lines = []
    ends = dict(encoding.trailing_control)  # a warning has these, or they are stripped
    if len(ends) == 1:
        ends = {string: number + encoding.only_control for string, number in ends.items()}
    left = [
        (hit, hit.count - (ends.get(hit.string, 0) if hit.role == "assistant" else 0))
        for hit in encoding.control_strings
    ]
    named = [f"{terminal_safe(hit.string)} {number:,} x {hit.role}" for hit, number in left if number > 0]
    if named:
        lines.append(f"control strings in text, kept as text: {first_few(named)}")
    if encoding.stripped_answers:
        lines.append(f"stripped control strings from the end of {pluralize(encoding.stripped_answers, 'answer')}")
    if encoding.split_conversations or encoding.overlong_turns:
        dropped = (
            f"; {pluralize(encoding.overlong_turns, 'turn')} too long for a window" if encoding.overlong_turns else ""
        )
        lines.append(f"split {pluralize(encoding.split_conversations, 'conversation')} longer than a sequence{dropped}")
    if encoding.split_texts:
        lines.append(f"split {pluralize(encoding.split_texts, 'text')} longer than a sequence")
    if encoding.cut_answers:
        lines.append(f"cut {pluralize(encoding.cut_answers, 'answer')}")
    return lines + _context_lines(encoding)


def _context_lines(encoding: EncodingEntry) -> list[str]:
    """What the template does not write, or writes differently; no lines if there is nothing."""
    lines = []
    if encoding.developer_as_system:
        verb = "is" if encoding.developer_as_system == 1 else "are"
        messages = pluralize(encoding.developer_as_system, "developer message")
        lines.append(f"{messages} {verb} written as system messages: the template has no developer role")
    for key, number in encoding.unwritten.items():
        things, _, name = key.partition(": ")
        verb = "has" if number == 1 else "have"
        what = f"{terminal_safe(name)} that the template does not write"
        lines.append(f"{pluralize(number, things.removesuffix('s'))} {verb} {what}")
    lines += [*_reasoning_lines(encoding.reasoning), *_thinking_lines(encoding.thinking)]
    if parsed := encoding.arguments.get("object from text", 0):
        calls = pluralize(parsed, "tool call")
        lines.append(f"the arguments of {calls} are JSON texts, given to the template as objects, as servers do")
    lines += _lines_of_tools(encoding.as_text)
    if encoding.made_call_ids:
        calls = pluralize(encoding.made_call_ids, "tool call")
        lines.append(f"made ids for {calls}, in the form that the template demands")
    if encoding.joined_texts:
        have = "has contents that are lists" if encoding.joined_texts == 1 else "have contents that are lists"
        lines.append(f"{pluralize(encoding.joined_texts, 'row')} {have} of texts, joined with line breaks")
    if encoding.unused_messages:
        verb = "comes" if encoding.unused_messages == 1 else "come"
        messages = pluralize(encoding.unused_messages, "message")
        lines.append(f"{messages} {verb} after the last trained turn of a row, and so in no sample")
    lines += [f"rows dropped as {reason}: {terminal_safe(way)}" for reason, way in encoding.ways_out.items()]
    return lines


def _lines_of_tools(counts: Mapping[str, int]) -> list[str]:
    """What is written as text by `tool_calls: inline`, and how a server does the same; no lines if nothing is."""
    if not counts:
        return []
    calls, results = counts.get("calls", 0), counts.get("results", 0)
    written = [pluralize(calls, "tool call"), pluralize(results, "result")] if calls or results else []
    for name, number in counts.items():
        if name.startswith("tools "):
            written.append(f"the tools of {pluralize(number, 'row')} ({name.removeprefix('tools ')})")
    return [
        f"written as text by tool_calls: inline: {', '.join(written)}; give the model such messages when it is served: "
        "sftdata.tools_as_text makes them"
    ]


_REASONING = {
    "unwritten": "reasoning in their texts ({}), trained as text: the template writes no reasoning; reasoning: drop "
    "would leave it out",
    "read": "reasoning in their texts ({}), which the template writes in its own marks",
    "own": "reasoning in their texts ({}), written with the model's own tokens for it",
    "text": "text in the marks of reasoning ({}), which their prompts ask for: it stays text, and the template writes "
    "that they have no reasoning",
}


def _reasoning_lines(counts: Mapping[str, int]) -> list[str]:
    """What happened to the reasoning of answers; no lines if there is none, or only fields that the template writes."""
    lines = []
    for fate, sentence in _REASONING.items():
        marks = {key.partition(": ")[2]: number for key, number in counts.items() if key.startswith(f"{fate}: ")}
        named = ", ".join(f"{terminal_safe(mark)} {number:,}" for mark, number in marks.items())
        total = sum(marks.values())
        if total:
            have = "has" if total == 1 else "have"
            lines.append(f"{pluralize(total, 'answer')} {have} {sentence.format(named)}")
    for how, what in (("inline", "written in front of it in <think> marks"), ("drop", "left out")):
        if number := counts.get(how, 0):
            lines.append(f"the reasoning of {pluralize(number, 'answer')} is {what}, by reasoning: {how}")
    return lines


def _thinking_lines(counts: Mapping[str, int]) -> list[str]:
    """In which mode of thinking answers are trained, where that was not said; no lines if there is none."""
    lines = []
    for key, number in counts.items():
        mode, _, switch = key.partition(": ")
        have = "has" if number == 1 else "have"
        rows = f"{pluralize(number, 'row')} {have} answers"
        if mode == "on":
            lines.append(f"{rows} with reasoning, which are trained with thinking on ({terminal_safe(switch)})")
        elif mode == "off":
            lines.append(f"{rows} without reasoning, which are trained with thinking off ({terminal_safe(switch)})")
        else:
            are = "is not trained, but a part of the prompt: train_empty_thinking: true trains it"
            lines.append(f"{rows} without reasoning, for which the template writes an empty thinking block: it {are}")
    return lines


def _privacy_lines(manifest: Manifest) -> list[str]:
    """The personal data that was found, by kind; no lines if there was none."""
    if not manifest.privacy:
        return []
    mode = manifest.parts.privacy.mode
    action = {"redact": "replaced", "drop": "dropped with their rows"}.get(mode or "", "left unchanged")
    return [
        f"personal data, {action}: " + ", ".join(f"{n:,} {terminal_safe(kind)}" for kind, n in manifest.privacy.items())
    ]
