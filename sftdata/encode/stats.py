"""What encoding saw besides the samples. Imports little: who reads it need not encode."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class EncodingStats:
    """What encoding saw besides the samples: joined over all batches, it goes into the manifest."""

    prompts: set[tuple[int, ...]] = field(default_factory=set)  # ids that stood directly before a trained run
    answer_controls: set[int] = field(default_factory=set)  # control ids inside trained runs, their ends aside
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)  # control strings in text, by (string, role)
    trailing: Counter[str] = field(default_factory=Counter)  # answers that end in a control string, none stripped yet
    tally: Counter[str] = field(default_factory=Counter)  # what was done to records: see RecordEncoder.encode
    backends: set[str] = field(default_factory=set)  # what encoded
    disagrees: bool = False  # whether fastokens gave other ids than tokenizers for some text that both encoded

    def to_json(self) -> str:
        """The statistics as JSON, in a fixed order."""
        return json.dumps(
            {
                "prompts": sorted(self.prompts),
                "answer_controls": sorted(self.answer_controls),
                "hits": sorted([*key, count] for key, count in self.hits.items()),
                "trailing": dict(sorted(self.trailing.items())),
                "tally": dict(sorted(self.tally.items())),
                "backends": sorted(self.backends),
                "disagrees": self.disagrees,
            }
        )

    def add_json(self, text: str) -> None:
        """Add the statistics that `to_json` wrote."""
        payload = json.loads(text)
        self.prompts.update(tuple(prompt) for prompt in payload["prompts"])
        self.answer_controls.update(payload["answer_controls"])
        for string, role, count in payload["hits"]:
            self.hits[string, role] += count
        self.trailing.update(payload["trailing"])
        self.tally.update(payload["tally"])
        self.backends.update(payload["backends"])
        self.disagrees |= payload["disagrees"]

    @staticmethod
    def joined(texts: Sequence[str]) -> EncodingStats:
        """The statistics of several batches."""
        stats = EncodingStats()
        for text in texts:
            stats.add_json(text)
        return stats
