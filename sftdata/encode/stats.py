"""What encoding observed besides the samples. Has few imports, so that it can be read without loading an encoder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

Example = tuple[str, str, int]  # a record: its hash, its JSON, and the place of its source in EncodeSettings.sources
KEPT = "kept"
NUM_EXAMPLES = {KEPT: 20}
MAX_EXAMPLES = 50  # of those not in NUM_EXAMPLES
# What is counted of single records: a Counter of EncodingStats, and a key of it.
LOST_CONTEXT, UNWRITTEN, CHANGES, REASONING = "lost_context", "unwritten", "changes", "reasoning"
THINKING, LEFT_OUT = "thinking", "left_out"
DEVELOPER_AS_SYSTEM = (CHANGES, "developer_as_system")
UNUSED_MESSAGES = (CHANGES, "unused_messages")  # after the last trained turn
AS_TEXT = "as text: "  # before what was written as text by tool_calls: inline, see records/tools_as_text.py
NO_SYSTEM, FOREIGN_END = 1, 2  # marks of records: without a system prompt; with an end token at the end of an answer
ARGUMENTS = "arguments: "  # before the form in which calls got theirs: a key of CHANGES, see template/messages.py


@dataclass
class EncodingStats:
    """What encoding a batch observed besides the samples. The sum over all batches goes into the manifest."""

    generation_prompts: set[tuple[int, ...]] = field(default_factory=set)  # ids directly before trained runs
    answer_control_ids: set[int] = field(default_factory=set)  # control ids inside trained runs, except their last id
    control_strings: Counter[tuple[str, str]] = field(default_factory=Counter)  # in message text, by (string, role)
    trailing_control: Counter[str] = field(default_factory=Counter)  # at the end of answers, before any is stripped
    lost_context: Counter[str] = field(default_factory=Counter)  # rows trained behind a prompt without these
    unwritten: Counter[str] = field(default_factory=Counter)  # "messages: name" and the like, see proof/context.py
    changes: Counter[str] = field(default_factory=Counter)  # what was done to records, see RecordEncoder.encode_batch
    reasoning: Counter[str] = field(default_factory=Counter)  # of answers: its new form, see template/reasoning.py
    left_out: Counter[str] = field(default_factory=Counter)  # turns of rows that are trained without them, by reason
    thinking: Counter[str] = field(default_factory=Counter)  # rows: "off: enable_thinking=false" etc., see modes.py
    rendered: Counter[str] = field(default_factory=Counter)  # messages that are chats in the marks of a template, by it
    backends: set[str] = field(default_factory=set)  # the libraries that encoded
    # By reason, and KEPT: records of the batch that were refused for it, or not, as JSON: those with the least hashes.
    examples: dict[str, list[Example]] = field(default_factory=dict)
    ways_out: dict[str, str] = field(default_factory=dict)  # see ways_out.py; not of a batch, but of the run
    # Of the run too: the rows with FOREIGN_END, the packed ones to which the template adds this system prompt, and the
    # first of each.
    foreign_ends: int = 0
    added_system: dict[str, int] = field(default_factory=dict)
    first_rows: dict[str, str] = field(default_factory=dict)
    backends_disagree: bool = False  # whether fastokens and tokenizers gave different ids for a text that both encoded

    def add_examples(self, reason: str, examples: Iterable[Example]) -> None:
        """Add records that were refused for a reason. Which ones are kept depends on no order."""
        size = NUM_EXAMPLES.get(reason, MAX_EXAMPLES)
        self.examples[reason] = nsmallest(size, {*self.examples.get(reason, ()), *examples})

    def add_notes(self, notes: Mapping[tuple[str, str], int]) -> None:
        """Add what was noted of records."""
        for (kind, name), number in notes.items():
            getattr(self, kind)[name] += number

    def to_json(self) -> str:
        """The statistics as JSON, in a fixed order."""
        return json.dumps(
            {
                "generation_prompts": sorted(self.generation_prompts),
                "answer_control_ids": sorted(self.answer_control_ids),
                "control_strings": sorted([*key, count] for key, count in self.control_strings.items()),
                "trailing_control": dict(sorted(self.trailing_control.items())),
                "lost_context": dict(sorted(self.lost_context.items())),
                "unwritten": dict(sorted(self.unwritten.items())),
                "changes": dict(sorted(self.changes.items())),
                "reasoning": dict(sorted(self.reasoning.items())),
                "left_out": dict(sorted(self.left_out.items())),
                "thinking": dict(sorted(self.thinking.items())),
                "rendered": dict(sorted(self.rendered.items())),
                "examples": dict(sorted(self.examples.items())),
                "backends": sorted(self.backends),
                "backends_disagree": self.backends_disagree,
            }
        )

    def add_json(self, text: str) -> None:
        """Add statistics that `to_json` wrote."""
        payload = json.loads(text)
        self.generation_prompts.update(tuple(prompt) for prompt in payload["generation_prompts"])
        self.answer_control_ids.update(payload["answer_control_ids"])
        for string, role, count in payload["control_strings"]:
            self.control_strings[string, role] += count
        self.trailing_control.update(payload["trailing_control"])
        self.lost_context.update(payload["lost_context"])
        self.unwritten.update(payload["unwritten"])
        self.changes.update(payload["changes"])
        self.reasoning.update(payload["reasoning"])
        self.left_out.update(payload["left_out"])
        self.thinking.update(payload["thinking"])
        self.rendered.update(payload["rendered"])
        for reason, examples in payload["examples"].items():
            self.add_examples(reason, ((hash_, text, source) for hash_, text, source in examples))
        self.backends.update(payload["backends"])
        self.backends_disagree |= payload["backends_disagree"]

    @staticmethod
    def joined(texts: Sequence[str]) -> EncodingStats:
        """The sum of statistics that `to_json` wrote."""
        stats = EncodingStats()
        for text in texts:
            stats.add_json(text)
        return stats
