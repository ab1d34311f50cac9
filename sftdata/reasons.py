"""Every reason for which a row can be dropped, and the stage that says so.

The ledger, the funnel and the manifest use these names and no others; README.md lists them, and a test compares.
"""

from __future__ import annotations

REASONS: dict[str, tuple[str, str]] = {
    # name: (stage, what it means)
    "bad_json": ("read", "the line is not JSON"),
    "bad_encoding": ("read", "the line is not UTF-8"),
    "null_byte": ("read", "the line holds a null byte"),
    "line_too_long": ("read", "the line is longer than 50 MB"),
    "bad_row": ("read", "the row of a table (csv, tsv) does not fit its header"),
    "not_an_object": ("format", "the row is JSON, but not an object"),
    "unknown_shape": ("format", "the row's keys match no known format"),
    "missing_field": ("format", "a field that the format needs is absent or null"),
    "wrong_type": ("format", "a field holds a value of the wrong type"),
    "unknown_role": ("format", "a turn's role is none that the format knows"),
    "untrainable_content": ("format", "a turn holds an image, audio or another part that is not text"),
    "bad_tool_call": ("format", "a tool call is not JSON, or has no name"),
    "bad_characters": ("validate", "the text holds a lone surrogate or a null character"),
    "system_not_first": ("validate", "a system message stands after another turn"),
    "roles_out_of_order": ("validate", "turns of a role follow where they cannot"),
    "no_user_turn": ("validate", "nobody asks anything"),
    "no_answer": ("validate", "there is no assistant turn to train on"),
    "empty_answer": ("validate", "an assistant turn that would be trained is empty"),
    "empty_prompt": ("validate", "the user's turn is empty"),
    "tool_result_without_call": ("validate", "a tool's result answers no tool call"),
    "invalid_tool_call": ("validate", "a tool call does not fit the JSON schema declared for it"),
    "answer_too_short": ("filter", "an answer is shorter than filters.min_answer_chars or min_answer_words"),
    "answer_too_long": ("filter", "an answer is longer than filters.max_answer_chars or max_answer_words"),
    "template_residue": ("filter", "a control token or header of a template stands in an answer, or ends the prompt"),
    "unfilled_placeholder": ("filter", "an answer holds a blank that nobody filled in, such as {{name}}"),
    "mojibake": ("filter", "an answer was decoded with the wrong encoding"),
    "open_code_fence": ("filter", "an answer opens a code block and never closes it"),
    "cut_off": ("filter", "an answer stops in the middle of a sentence"),
    "echoed_prompt": ("filter", "an answer merely repeats the prompt"),
    "boilerplate": ("filter", 'an answer says "as an AI language model" or the like'),
    "foreign_identity": ("filter", "an answer says that it comes from another maker's model"),
    "refusal": ("filter", "an answer declines the request"),
    "repetitive": ("filter", "an answer repeats itself more than filters.repetition allows"),
    "wrong_language": ("filter", "an answer is in a language that filters.languages does not name"),
    "private_data": ("privacy", "the record holds personal data or a secret, and privacy.mode is drop"),
    "duplicate": ("dedup", "the same conversation stands earlier in the data"),
    "near_duplicate": ("dedup", "a kept row shares most of its words in their order; similarity says how many"),
    "shared_prefix": ("dedup", "its prompt begins like a kept row's, for dedup.prefix.chars characters"),
    "semantic_duplicate": ("dedup", "a kept row says the same, as the model sees it; similarity is the cosine"),
    "over_cap": ("dedup", "more rows of one value of a column than dedup.caps allows"),
    "contaminated": ("decontaminate", "the record holds an item of an evaluation file"),
    "template_error": ("encode", "the chat template refuses the conversation"),
    "no_end_of_turn": ("encode", "the chat template writes no end-of-turn token after a trained turn"),
    "lost_field": ("encode", "the chat template leaves out a field of a trained turn"),
    "unproven_mask": ("encode", "the trained tokens cannot be proven to be what the model must write"),
    "nothing_to_train": ("encode", "no turn of the conversation is to be trained"),
    "overlong": ("pack", "the sample is longer than pack.seq_len"),
    "over_max_records": ("mixture", "its source gives max_records conversations without it"),
    "over_weight": ("mixture", "its source has its share of the trained tokens without it"),
}


def stage_of(reason: str) -> str:
    """The stage that gives this reason."""
    return REASONS[reason][0]
