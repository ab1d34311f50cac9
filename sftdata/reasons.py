"""Every reason why a row can be dropped, the stage that drops it, and what helps.

The ledger, the summary and the manifest use exactly these names. docs/reasons.md lists them, made by docs/generate.py.
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


# What to do about rows with a reason. What is in backticks with a = is a setting, as it is written on the command line.
WHAT_HELPS: dict[str, str] = {
    "bad_json": "Write one whole JSON value a line; a file that is one JSON document has to end in .json.",
    "bad_encoding": "Save the file as UTF-8: `iconv -f latin1 -t utf-8 OLD > NEW` converts one in Latin-1.",
    "null_byte": "Write the file again without null bytes; a file full of them was often not copied to its end.",
    "line_too_long": "Cut the text into several rows, or write the file as Parquet.",
    "bad_row": "Quote cells that hold the separator, a quotation mark or a line break, and give each row all cells.",
    "not_an_object": 'Write every row as an object, such as {"prompt": "...", "completion": "..."}.',
    "unknown_shape": (
        "Map your columns with --columns prompt=question,completion=answer; `sftdata check` finds names "
        "that fit, `sftdata formats` shows what is read."
    ),
    "missing_field": "Fill the field, or map the column that holds it with --columns.",
    "wrong_type": "Write the field as its format has it: see `sftdata formats`.",
    "unknown_role": "Say what the role is: `sources.0.roles={customer: user, agent: assistant}`",
    "rendered_chat": (
        "Read it back into turns with `sources.0.format=rendered`, or train it as it is with "
        "`sources.0.rendered_chats=keep`"
    ),
    "conflicting_fields": "Remove one of the two fields, or name the column to read with --columns.",
    "untrainable_content": (
        "To train on the text alone, name the column with the picture or sound in `sources.0.keep=[image]`"
    ),
    "bad_tool_call": "Give each call a name, and arguments that are an object or its JSON text.",
    "bad_characters": "Write the text again without half characters (\\ud800 to \\udfff) and null characters.",
    "roles_out_of_order": (
        "Join turns of one role with `sources.0.merge_same_role=merge`, or allow them with "
        "`sources.0.merge_same_role=allow`"
    ),
    "no_user_turn": "Give the conversation a user turn, or train it as text with `sources.0.format=text`",
    "no_answer": "Nothing can be trained without an answer; if it is in another column, map it with --columns.",
    "empty_answer": "Fill the answer, or leave out the turn.",
    "empty_prompt": "Fill the prompt, or leave out the turn; if it is in another column, map it with --columns.",
    "tool_result_without_call": "Put the result behind the turn that calls the tool, with the id of the call.",
    "invalid_tool_call": (
        "Correct the call or the schema of the tool, or do not compare them: `check_tool_calls=false`"
    ),
    "answer_too_short": "Allow shorter answers: `filters.min_answer_chars=0` `filters.min_answer_words=0`",
    "answer_too_long": "Allow longer answers: `filters.max_answer_words=null` `filters.max_answer_chars=null`",
    "template_residue": (
        "Strip end tokens from answers with `clean.strip_trailing_control=true`, or allow them at the end"
        " with `filters.residue=inside`; remove other marks from the data."
    ),
    "unfilled_placeholder": "Fill the blank, or look only for braces with `filters.placeholders=braces`",
    "mojibake": "Read the data again with the right encoding, or do not look for it: `filters.mojibake=false`",
    "open_code_fence": "Close the code block, or do not look for it: `filters.code_fence=false`",
    "cut_off": "Make answers whole, or look only at longer ones: `filters.cut_off_min_chars=400`",
    "echoed_prompt": "Allow answers that repeat their prompt: `filters.echo=false`",
    "boilerplate": "Allow such phrases: `filters.boilerplate=false`",
    "foreign_identity": "Replace the name, or allow it: `filters.identity=false`",
    "refusal": "Allow answers that decline: `filters.refusals=false`",
    "repetitive": "Allow repetition: `filters.repetition.enabled=false`",
    "wrong_language": "Add the language to `filters.languages=[en, de]`",
    "private_data": "Replace what was found, and keep the row: `privacy.mode=redact`",
    "duplicate": "Nothing, if one of equal rows is enough; to keep all: `dedup.exact=false`",
    "near_duplicate": "Compare more strictly with `dedup.near.threshold=0.9`, or not at all with `dedup.near=off`",
    "shared_prefix": "Compare longer prefixes with `dedup.prefix.chars=400`, or none with `dedup.prefix=off`",
    "semantic_duplicate": "Raise dedup.semantic.threshold, or do not compare: `dedup.semantic=off`",
    "over_cap": "Raise max_records of the column in dedup.caps, or remove the cap: `dedup.caps=[]`",
    "contaminated": (
        "Such a row would make the evaluation worthless. If it is no copy, look only for longer runs of "
        "words: `decontaminate.ngram_words=13`"
    ),
    "system_not_first": (
        "Put the system message first, or choose a template that writes it elsewhere: `template=chatml`"
    ),
    "template_error": "The detail says what the template refuses; another template may take it: `template=chatml`",
    "no_end_of_turn": (
        'Name the token at which servers stop, as in `stop_tokens=["<|im_end|>"]`, or choose another '
        "template; `sftdata templates check TOKENIZER` shows how its template ends a turn."
    ),
    "lost_field": (
        "Choose a template that writes the field, leave out reasoning with `reasoning=drop` or write it "
        "before the answer with `reasoning=inline`; train without lost context: `lost_context=warn`"
    ),
    "unproven_mask": "Choose another template; `sftdata templates check TOKENIZER` shows what one can do.",
    "nothing_to_train": (
        "A weight or train of the messages excludes every answer, or all that are left: see `train_on=all`"
    ),
    "too_many_turns": "Cut long conversations into windows with `overlong=split`, or raise `max_turns=2000`",
    "overlong": (
        "Cut conversations into windows with `overlong=split`, allow longer sequences with "
        "`pack.seq_len=4096`, or cut answers with `overlong=truncate`"
    ),
    "over_max_records": "Raise the number of conversations to use: `sources.0.max_records=100000`",
    "over_weight": (
        "Change the weight, as in `sources.0.weight=2`, or train on the other sources more often: `sources.0.repeat=2`"
    ),
    "internal_error": (
        "This is a fault of sftdata, and only this row is lost: please report the traceback in errors.log."
    ),
}
