"""What a dataset holds besides shards and ledger: the tokenizer as used, and what is said of encoding."""

from __future__ import annotations

import json
from pathlib import Path

from sftdata.encode.records import RecordEncoder
from sftdata.encode.stage import BatchFacts
from sftdata.store.files import write_bytes
from sftdata.store.manifest import ControlString, EncodingEntry, FileEntry, TokenizerEntry, file_entry


def write_tokenizer(folder: Path, encoder: RecordEncoder) -> list[FileEntry]:
    """The tokenizer and template as used, in a form that transformers loads too; their entries."""
    files, template = encoder.settings.files, encoder.template
    config = json.dumps(files.config(), indent=2, ensure_ascii=False) + "\n"
    texts = {"tokenizer.json": files.json, "tokenizer_config.json": config}
    if template.source:
        texts["chat_template.jinja"] = template.source
    if template.tool_source is not None:
        texts["additional_chat_templates/tool_use.jinja"] = template.tool_source
    for name, text in sorted(texts.items()):
        write_bytes(folder / "tokenizer" / name, text.encode())
    return [file_entry(folder, f"tokenizer/{name}") for name in sorted(texts)]


def tokenizer_entry(source: str, encoder: RecordEncoder, facts: BatchFacts) -> TokenizerEntry:
    """What the manifest says of the tokenizer, with all that proves the masks from the files alone."""
    return TokenizerEntry(
        source=source,
        sha256=encoder.settings.files.sha256,
        vocab_size=encoder.vocabulary.size,
        bos_id=encoder.id_of("bos_token"),
        eos_id=encoder.id_of("eos_token"),
        pad_id=encoder.id_of("pad_token"),
        end_of_turn_ids=encoder.end_ids,
        control_ids=tuple(sorted(encoder.facts.control.ids)),
        answer_control_ids=tuple(sorted(facts.answer_controls)),
        generation_prompts=tuple(sorted(facts.prompts)),
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
