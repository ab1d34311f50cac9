"""What a dataset holds besides shards and ledger: the tokenizer as used, and what is said of encoding."""

from __future__ import annotations

from sftdata.encode.request import TokenizerFacts
from sftdata.encode.seen import BatchFacts
from sftdata.store.manifest import ControlString, EncodingEntry, TokenizerEntry


def tokenizer_entry(source: str, facts: TokenizerFacts, seen: BatchFacts) -> TokenizerEntry:
    """What the manifest says of the tokenizer, with all that proves the masks from the files alone."""
    return TokenizerEntry(
        source=source,
        **facts._asdict(),
        answer_control_ids=tuple(sorted(seen.answer_controls)),
        generation_prompts=tuple(sorted(seen.prompts)),
    )


def encoding_entry(facts: BatchFacts) -> EncodingEntry:
    """What the manifest says of encoding: by what, what it met in the texts, and what it did to records."""
    hits = sorted(facts.hits.items(), key=lambda item: (-item[1], item[0]))
    return EncodingEntry(
        encoder=" and ".join(sorted(facts.backends)),
        control_strings=tuple(ControlString(string=text, role=role, count=n) for (text, role), n in hits),
        trailing_control=dict(sorted(facts.trailing.items(), key=lambda item: (-item[1], item[0]))),
        stripped_answers=facts.tally["stripped_answers"],
        split_conversations=facts.tally["split_conversations"],
        overlong_turns=facts.tally["overlong_turns"],
        cut_answers=facts.tally["cut_answers"],
    )
