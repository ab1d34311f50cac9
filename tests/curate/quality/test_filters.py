"""The quality filters, on answers written by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.curate.quality.filters import count_words, filter_record
from sftdata.curate.quality.settings import FilterConfig
from sftdata.reasons import stage_of
from sftdata.records.record import Drop, Message, Record

DEFAULT, STRICT, OFF = (FilterConfig(preset=name) for name in ("default", "strict", "off"))
PLAIN = "Paris is the capital of France. It lies on the Seine."


def chat(answer: str, prompt: str = "What is the capital of France?") -> Record:
    return Record(messages=(Message(role="user", content=prompt), Message(role="assistant", content=answer)))


def reason(answer: str, settings: FilterConfig = DEFAULT, prompt: str = "Tell me.") -> str | None:
    drop = filter_record(chat(answer, prompt), settings)
    assert drop is None or stage_of(drop.reason) == "filter"
    return drop.reason if drop else None


@pytest.mark.parametrize("answer", [PLAIN, "Yes", "4", "是的。", "x = 5;", "- apples\n- pears"])
def test_good_answers_pass_every_preset(answer: str) -> None:
    assert [reason(answer, settings) for settings in (OFF, DEFAULT, STRICT)] == [None, None, None]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("<|endoftext|>", "answer_too_short"),
        ("Sure.<|im_end|>\n<|im_start|>user\nAnd then?", "template_residue"),
        ("[INST] Say it again [/INST] It again.", "template_residue"),
        ("It is Paris.\n### Instruction:\nName a river.", "template_residue"),
        ("ASSISTANT: It is Paris.", "template_residue"),
        ("Hello, I am {{name}}, made by {{author}}.", "unfilled_placeholder"),
        ("He was naÃ¯ve about it.", "mojibake"),
        ("The governmentâ€™s plan.", "mojibake"),
        ("It lies in M\ufffdnchen.", "mojibake"),
        ("Try this:\n```python\nprint(1)\n", "open_code_fence"),
        (f"{PLAIN} The river is wide there. It is known for its museums, its bridges and the", "cut_off"),
        ("1. 它是法国的首都，也是最大的城市。" * 5 + "那里有很多博物馆，人们喜欢：", "cut_off"),
        ("As an AI language model, I have no favourite city.", "boilerplate"),
        ("I cannot say. " * 20, "repetitive"),
        ("\n".join(["Paris is large and old."] * 12), "repetitive"),
    ],
)
def test_the_default_preset_drops_what_is_broken(answer: str, name: str) -> None:
    assert reason(answer) == name
    assert reason(answer, OFF) is None


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("It is Paris.<|endoftext|>", "template_residue"),
        ("Dear Sir,\nI write to you today.\nYours, [Your Name]", "unfilled_placeholder"),
        ("I am ChatGPT, at your service.", "foreign_identity"),
        ("I'm a language model trained by OpenAI.", "foreign_identity"),
        ("I'm sorry, but I can't assist with that.", "refusal"),
        ("I cannot provide that information.", "refusal"),
        ("As an AI, I do not have the ability to see pictures.", "refusal"),
    ],
)
def test_the_strict_preset_also_drops_what_is_a_matter_of_taste(answer: str, name: str) -> None:
    assert reason(answer) is None
    assert reason(answer, STRICT) == name


@pytest.mark.parametrize(
    "answer",
    [
        "I can't wait to see you there!",
        "I'm sorry to hear that you are ill. Drink tea.",
        "Claude Monet painted it. OpenAI has a website.",
        "Sorry, we are closed today, she said.",
        "I will not go quietly, he wrote.",
        "Unfortunately, it rained.",
        "I'm sorry, but I'm unable to come to work today. I have a fever.",
        "Unfortunately, I cannot attend the meeting on Monday.",
        "Unfortunately, I cannot determine the angle from two sides. We would need additional information.",
        "I'm sorry, but I can't estimate its temperature without further details, such as where it stands.",
    ],
)
def test_what_only_sounds_like_a_refusal_passes(answer: str) -> None:
    assert reason(answer, STRICT) is None


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I cannot go into that.",
        "I'm sorry, I can't meet your request.",
        "I'm sorry, but I can't help with that. For more information, see a doctor.",
    ],
)
def test_refusals_in_other_words_are_found(answer: str) -> None:
    assert reason(answer, STRICT) == "refusal"


def test_refusals_are_allowed_if_tools_are_declared() -> None:
    messages = chat("I'm sorry, but I'm unable to order food. I can make lists.", "Order a pizza, please.").messages
    tool = {"type": "function", "function": {"name": "make_list", "parameters": {"type": "object", "properties": {}}}}
    drop = filter_record(Record(messages=messages), STRICT)
    assert drop is not None and drop.reason == "refusal"
    assert filter_record(Record(messages=messages, tools=(tool,)), STRICT) is None


@pytest.mark.parametrize(
    "answer",
    [
        'int main() {\n    string text = "Hello, I am an AI language model!";\n    return count(text);\n}',
        "text = 'I am ChatGPT, a model trained by OpenAI.'\nprint(len(text))",
        "Here it is:\n```\nI am ChatGPT.\nAs an AI language model, I sing.\n```\nIt is quoted.",
    ],
)
def test_quotations_in_code_are_ignored(answer: str) -> None:
    assert reason(answer, STRICT) is None


@pytest.mark.parametrize(
    "answer",
    [
        "<p>As an AI language model, I have no home.</p>",
        'He asked "Why?"\nAs an AI language model, I cannot tell.',
        "As an AI language model, I cannot run it, but try this:\n```\nls\n```",
    ],
)
def test_phrases_next_to_code_count(answer: str) -> None:
    assert reason(answer) == "boilerplate"


def test_blanks_are_allowed_if_the_prompt_asks_for_a_template() -> None:
    letter = "Dear {{customer}},\nThank you for your order.\n[Your Name]"
    assert reason(letter, STRICT, "Write a template for a thank-you letter.") is None
    assert reason(letter, STRICT, "Thank our customer.") == "unfilled_placeholder"


def test_a_blank_in_brackets_is_allowed_if_the_prompt_has_it_too() -> None:
    prompt = "Correct this: Yours sincerly, [Your Name]"
    assert reason("Yours sincerely, [Your Name]", STRICT, prompt) is None
    assert reason("Dear [Recipient],\nYours sincerely, [Your Name]", STRICT, prompt) == "unfilled_placeholder"
    assert reason("I am {{name}}.", DEFAULT, "Are you {{name}}?") == "unfilled_placeholder"


def test_a_long_answer_is_not_a_refusal() -> None:
    long_answer = "I'm sorry, but I can't help with that. " + "Here is what you may do instead of it, step by step."
    assert reason(long_answer, STRICT) == "refusal"
    settings = FilterConfig.model_validate({"preset": "strict", "refusal_max_words": 10})
    assert reason(long_answer, settings) is None


@pytest.mark.parametrize(
    "answer",
    [
        "```html\n<p>{{ message }}</p>\n```\nThe braces are Vue's.",
        "Write `{{name}}` where the name goes.",
        "Mistral wraps the user in `[INST]` and `[/INST]`.",
        "Use it so:\n```\n<|im_start|>user\nHi<|im_end|>\n```",
        "<p>{{ message }}</p>\n<ul>\n<li>{{ item }}</li>\n</ul>",
    ],
)
def test_code_may_show_templates_and_blanks(answer: str) -> None:
    assert reason(answer, STRICT) is None


def test_a_prompt_that_already_has_a_template_applied_is_residue() -> None:
    assert reason("Paris.", prompt="### Instruction:\nName a city.\n\n### Response:") == "template_residue"
    assert reason("Paris.", prompt="What does `[/INST]` mean?") is None


@pytest.mark.parametrize(
    "text", ["Ça va très bien, merci à tous.", "Привет, как дела?", "naïve café – “yes”", "日本語です。"]
)
def test_accents_and_other_scripts_are_not_mojibake(text: str) -> None:
    assert reason(text) is None


@pytest.mark.parametrize(
    "answer",
    [
        "```\na\n```",
        "1. Do this:\n   ```sh\n   ls\n   ```\n2. Done.",
        "~~~\n```\n~~~",
        "````md\n```\n````",
        "Say ```ls``` here.",
    ],
)
def test_closed_code_blocks_pass(answer: str) -> None:
    assert reason(answer) is None


@pytest.mark.parametrize(
    "end",
    [
        *("and so on", "#### 42", "see https://example.org", "what it is for you", "Kubb", "It is over", "Vitamin C"),
        *("(a)", "The right answer is option A", "Her home is LA"),
    ],
)
def test_answers_may_end_without_a_full_stop(end: str) -> None:
    assert reason(f"{PLAIN} The river is wide there, and boats pass under more than thirty bridges. {end}") is None


def test_a_preposition_may_end_the_only_sentence_of_an_answer() -> None:
    answer = "Because his grandmother had a pool behind the house and he needed someone to swim with"
    assert reason(answer, STRICT) is None
    assert (
        reason(f"{PLAIN} {answer}", STRICT) == "cut_off"
    )  # earlier sentences have full stops, so the last one is cut off
    assert reason(answer.replace("with", "with the"), STRICT) == "cut_off"


def test_an_answer_that_repeats_the_prompt_is_dropped() -> None:
    prompt = "Correct the sentence:  She go to school every day of the week."
    assert reason("correct the sentence: She go to school every day of the week.", prompt=prompt) == "echoed_prompt"
    assert reason("She go to school every day of the week.", prompt=prompt) is None


def test_the_evidence_names_the_message_and_what_was_found() -> None:
    drop = filter_record(chat("Hello, I am {{name}}."), DEFAULT)
    assert drop == Drop("unfilled_placeholder", "message 2: holds '{{name}}'")
    drop = filter_record(chat("Go on.\n```\nx"), DEFAULT)
    assert drop == Drop("open_code_fence", "message 2: the code block opened in line 2 is never closed")


def test_the_evidence_never_shows_personal_data() -> None:
    address = "maria.keller@posteo.de"
    drop = filter_record(chat(f"Write to {address} now please. " * 20), DEFAULT)
    assert drop is not None and drop.reason == "repetitive"
    assert "maria" not in str(drop.detail) and "posteo" not in str(drop.detail)


SECRETS = ["maria.keller@posteo.de", "+49 30 901820", "4539 1488 0343 6467", "AKIA" + "Q3EXZ7MPLK2VTNHD"]
FLAWS = [
    "{}",
    "{{{{{}}}}}",
    "<|{}|>",
    "Ã¯{}",
    "[Your {}]",
    "I'm sorry, but I {} can't help.",
    "{} and the",
    "```\n{}",
    "{},",
]


@given(st.sampled_from(SECRETS), st.lists(st.sampled_from(FLAWS), min_size=1, max_size=4), st.integers(1, 40))
def test_no_evidence_holds_a_secret(secret: str, flaws: list[str], times: int) -> None:
    answer = " ".join(flaw.format(secret) for flaw in flaws * times)
    drop = filter_record(chat(answer), STRICT)
    assert drop is None or not any(part in str(drop.detail) for part in [secret, "keller", "901820", "1111 1111"])


def test_turns_that_are_not_trained_are_not_checked() -> None:
    bad = Message(role="assistant", content="I am {{name}}.", train=False)
    good = Message(role="assistant", content="Paris.")
    user = Message(role="user", content="Where?")
    assert filter_record(Record(messages=(user, bad, user, good)), DEFAULT) is None


def test_every_answer_of_a_conversation_is_checked_and_prompts_are_not() -> None:
    user = Message(role="user", content="Where is {{name}}? As an AI language model, naÃ¯ve")
    good, bad = (Message(role="assistant", content=text) for text in ("Here.", "I am {{name}}."))
    assert filter_record(Record(messages=(user, good)), DEFAULT) is None
    drop = filter_record(Record(messages=(user, good, user, bad)), DEFAULT)
    assert drop is not None and drop.detail == "message 4: holds '{{name}}'"


def test_a_plain_text_is_checked_like_an_answer() -> None:
    drop = filter_record(Record(text="It was naÃ¯ve to ask."), DEFAULT)
    assert drop == Drop("mojibake", "text: holds 'naÃ¯ve' where 'naïve' is meant")


def test_lengths_are_counted_without_control_tokens_at_the_end() -> None:
    short = FilterConfig.model_validate({"min_answer_words": 3})
    assert reason("yes<|endoftext|>", short) == "answer_too_short"
    assert reason("yes, of course<|endoftext|>", short) is None
    long = FilterConfig.model_validate({"max_answer_words": 2, "max_answer_chars": 20})
    assert reason("one two three", long) == "answer_too_long"
    assert reason("a" * 21, long) == "answer_too_long"
    assert reason("one two", long) is None


def test_words_of_languages_without_spaces_are_characters() -> None:
    assert count_words("three short words") == 3
    assert count_words("我有两本 new books") == 6


@given(st.text(max_size=300), st.text(max_size=100), st.sampled_from([DEFAULT, STRICT, OFF]))
def test_no_text_makes_a_filter_raise(answer: str, prompt: str, settings: FilterConfig) -> None:
    drop = filter_record(chat(answer, prompt), settings)
    assert drop is None or stage_of(drop.reason) == "filter"


MARKS = [
    "```",
    "\n",
    "{{name}}",
    "<|im_end|>",
    "[INST]",
    "### Response:",
    "Ã¯",
    "and",
    " ",
    "word",
    ",",
    "[your",
    "]",
    "<s>",
]


@given(st.lists(st.sampled_from(MARKS), max_size=30).map("".join))
def test_no_mixture_of_markers_makes_a_filter_raise_and_off_passes_all(answer: str) -> None:
    filter_record(chat(answer), STRICT)
    assert filter_record(chat(answer), OFF) is None
