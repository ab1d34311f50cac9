"""Every reason why a row can be dropped, and the stage that drops it.

The ledger, the summary and the manifest use exactly these names. README.md lists them; a test compares the two.
"""

from __future__ import annotations

REASONS: dict[str, tuple[str, str]] = {
    # name: (stage, meaning)
    "bad_json": ("read", "the line is not valid JSON"),
    "bad_encoding": ("read", "the line is not valid UTF-8"),
    "null_byte": ("read", "the line contains a null byte"),
    "line_too_long": ("read", "the line is longer than 50 MB"),
    "bad_row": ("read", "the row of a table (csv, tsv) does not match its header"),
    "not_an_object": ("format", "the row is JSON, but not an object"),
    "unknown_shape": ("format", "the row's keys match no known format"),
    "missing_field": ("format", "a field that the format requires is missing or null"),
    "wrong_type": ("format", "a field has a value of the wrong type"),
    "unknown_role": ("format", "a turn has a role that the format does not know"),
    "rendered_chat": ("format", "a text is a conversation that a chat template has already rendered"),
    "conflicting_fields": ("format", "two fields that stand for the same thing say different things"),
    "untrainable_content": ("format", "the row contains an image, audio or another part that is not text"),
    "bad_tool_call": ("format", "a tool call is not valid JSON, or has no name"),
    "bad_characters": ("validate", "the text contains a lone surrogate or a null character"),
    "roles_out_of_order": ("validate", "a turn follows another turn of the same role"),
    "no_user_turn": ("validate", "the conversation has no user turn"),
    "no_answer": ("validate", "no assistant turn follows a user turn"),
    "empty_answer": ("validate", "an assistant turn that would be trained is empty"),
    "empty_prompt": ("validate", "a user turn is empty"),
    "tool_result_without_call": ("validate", "a tool result does not belong to any tool call"),
    "invalid_tool_call": ("validate", "a tool call does not match the JSON schema declared for it"),
    "answer_too_short": ("filter", "an answer is shorter than filters.min_answer_chars or min_answer_words"),
    "answer_too_long": ("filter", "an answer is longer than filters.max_answer_chars or max_answer_words"),
    "template_residue": ("filter", "control tokens or headers of a chat template in an answer or at the prompt's end"),
    "unfilled_placeholder": ("filter", "an answer contains a placeholder that was never filled in, such as {{name}}"),
    "mojibake": ("filter", "an answer was decoded with the wrong encoding"),
    "open_code_fence": ("filter", "an answer opens a code block and never closes it"),
    "cut_off": ("filter", "an answer stops in the middle of a sentence"),
    "echoed_prompt": ("filter", "an answer only repeats the prompt"),
    "boilerplate": ("filter", 'an answer says "as an AI language model" or similar'),
    "foreign_identity": ("filter", "an answer claims to be another company's model"),
    "refusal": ("filter", "an answer declines the request"),
    "repetitive": ("filter", "an answer repeats itself more than filters.repetition allows"),
    "wrong_language": ("filter", "an answer is in a language that is not in filters.languages"),
    "private_data": ("privacy", "the record contains personal data or a secret, and privacy.mode is drop"),
    "duplicate": ("dedup", "exact duplicate of an earlier row"),
    "near_duplicate": ("dedup", "near-duplicate of a kept row; similarity is their Jaccard similarity"),
    "shared_prefix": ("dedup", "its prompt starts with the same dedup.prefix.chars characters as a kept row's"),
    "semantic_duplicate": ("dedup", "same meaning as a kept row, according to the model; similarity is the cosine"),
    "over_cap": ("dedup", "more rows share a value of a column than dedup.caps allows"),
    "contaminated": ("decontaminate", "the record contains an item of an evaluation file"),
    "system_not_first": ("encode", "the chat template refuses a system message after another turn"),
    "template_error": ("encode", "the chat template rejects the conversation"),
    "no_end_of_turn": ("encode", "the chat template writes no end-of-turn token after a trained turn"),
    "lost_field": ("encode", "the chat template leaves out a field of a trained turn, or of what comes before it"),
    "unproven_mask": ("encode", "the trained tokens cannot be proven to be what the model must write"),
    "nothing_to_train": ("encode", "no turn of the conversation is selected for training"),
    "too_many_turns": ("encode", "the conversation has more messages than max_turns"),
    "overlong": ("pack", "the sample is longer than pack.seq_len"),
    "over_max_records": ("mixture", "its source already provides max_records conversations"),
    "over_weight": ("mixture", "its source already has its share of the trained tokens"),
    "internal_error": ("internal", "a fault of sftdata itself met this row; errors.log has the traceback"),
}


def stage_of(reason: str) -> str:
    """The stage that drops rows for this reason."""
    return REASONS[reason][0]
