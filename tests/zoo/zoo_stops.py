"""At which tokens the servers of each family stop, and its BOS: written by hand from what the publishers give."""

from __future__ import annotations

import re
from typing import NamedTuple


class Family(NamedTuple):
    """`stops` are the EOS of tokenizer_config.json, and then the other stops of generation_config.json.

    `closing` is the token that the template writes at the end of an answer, where that is no stop: then the same token
    closes the parts of a turn.
    """

    bos: str | None
    stops: tuple[str, ...]
    closing: str | None = None


_SP = Family("<s>", ("</s>",))
_CHATML = Family(None, ("<|im_end|>", "<|endoftext|>"))
_LLAMA3 = Family("<|begin_of_text|>", ("<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"))
_LLAMA4 = Family("<|begin_of_text|>", ("<|eot|>", "<|end_of_text|>", "<|eom|>"))
_GEMMA = Family("<bos>", ("<eos>", "<end_of_turn>"))
_GEMMA4 = Family("<bos>", ("<eos>", "<turn|>", "<|tool_response>"))
_COHERE = Family("<BOS_TOKEN>", ("<|END_OF_TURN_TOKEN|>",))
_DEEPSEEK = Family("<\uff5cbegin\u2581of\u2581sentence\uff5c>", ("<\uff5cend\u2581of\u2581sentence\uff5c>",))
_NEMOTRON = Family("<s>", ("<|im_end|>", "</s>"))
_PHI3 = Family("<s>", ("<|endoftext|>", "<|end|>", "<|assistant|>"))
_GRANITE = Family(None, ("<|end_of_text|>",))
_GLM = Family(None, ("<|endoftext|>", "<|user|>", "<|observation|>"))
_BASE = Family(None, ("<|endoftext|>",))  # models without a chat format of their own

# The first that matches the name of a template (without its collection) holds.
FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"alpaca|inkbot|metharme|llava|pixtral|mi(?:ni)?stral", _SP),
    (r"aya|command|c4ai|cohere", _COHERE),
    (r"apertus", Family("<s>", ("<|assistant_end|>", "<|tools_suffix|>"))),
    (r"apriel-1\.5", _SP),
    (r"apriel", Family("<s>", ("<|end|>",))),
    (r"bielik|hermes", Family("<s>", ("<|im_end|>", "</s>"))),
    (r"exaone", Family("[BOS]", ("[|endofturn|]",))),
    (r"falcon-h1", Family("<|begin_of_text|>", ("<|end_of_text|>", "<|im_end|>"))),
    (r"gemma-4|gemma4|diffusion-gemma", _GEMMA4),
    (r"functiongemma", Family("<bos>", ("<eos>", "<end_of_turn>", "<start_function_response>"))),
    (r"gemma", _GEMMA),
    # The token also comes between the text of a turn and its call, where vLLM and llama.cpp read on.
    (r"gigachat", Family("<s>", ("</s>",), "<|message_sep|>")),
    (r"^chatglm|^glm4$", _SP),  # of ChatGLM and ChatGLM 2, which write no token between turns
    (r"glm", _GLM),
    (r"gpt-oss", Family("<|startoftext|>", ("<|return|>", "<|endoftext|>", "<|call|>"))),
    (r"granite-20b", _BASE),
    (r"granite", _GRANITE),
    (r"hunyuan", Family("<|startoftext|>", ("<|eos|>",))),
    (
        r"hy3",
        Family("<\uff5chy_begin_of_sentence:opensource\uff5c>", ("<\uff5chy_eos:opensource\uff5c>",)),
    ),
    (r"internlm2", Family("<s>", ("</s>", "<|im_end|>"))),
    (r"jamba", Family("<|startoftext|>", ("<|endoftext|>", "<|eom|>"))),
    (r"kimi-k3", Family("[BOS]", ("[EOS]", "<|end_of_msg|>"))),
    (r"kimi", Family("[BOS]", ("[EOS]", "<|im_end|>"))),
    (r"laguna", Family("\u3008|EOS|\u3009", ("\u3008|EOS|\u3009", "</assistant>"))),
    (r"lfm2", Family("<|startoftext|>", ("<|im_end|>",))),
    (r"ling", Family(None, ("<|role_end|>", "<|endoftext|>"))),
    (r"rwkv", _BASE),
    (r"minicpm5", Family("<s>", ("<|im_end|>", "</s>"))),
    (r"minimax-m1", Family("<beginning_of_sentence>", ("<end_of_sentence>",))),
    (r"minimax", Family("]~!b[", ("[e~[",))),
    (r"muse-glimmer", Family("<|begin_of_text|>", ("<|eot|>",))),
    (r"nemotron-nano-v2", Family("<s>", ("<SPECIAL_12>", "</s>"))),
    (r"nemotron", _NEMOTRON),
    (r"phi4-mini", Family("<|endoftext|>", ("<|endoftext|>", "<|end|>"))),
    (r"phi-4", Family("<|endoftext|>", ("<|im_end|>", "<|endoftext|>"))),
    (r"phi", _PHI3),
    (r"reka", Family(None, ("<|endoftext|>", "<sep>"))),
    (r"seed-oss", Family("<seed:bos>", ("<seed:eos>",))),
    # llama.cpp takes <|end|> off the stops of tokenizers with <|flush|> and <|calls|>: it also closes the reasoning.
    (r"solar", Family("<s>", ("<|endoftext|>", "<|flush|>", "<|calls|>"), "<|end|>")),
    (r"stepfun", Family(_DEEPSEEK.bos, ("<|im_end|>", *_DEEPSEEK.stops))),
    (r"step5", Family(_DEEPSEEK.bos, ("<|EOT|>", *_DEEPSEEK.stops))),
    (r"spark", _DEEPSEEK),
    (r"idefics3", Family("<|begin_of_text|>", ("<end_of_utterance>",))),
    (r"smolvlm", Family("<|im_start|>", ("<end_of_utterance>",))),
    (r"falcon|teleflm", _BASE),
    (r"llama-?4", _LLAMA4),
    (r"deepseek", _DEEPSEEK),
    (r"llama|functionary|firefunction|toolace", _LLAMA3),
    (r"chatml|qwen|qwq|mimo|smollm3|minicpmv", _CHATML),
)


def family_of(name: str) -> Family:
    """The family of a template. Raises LookupError if the table has none."""
    own_name = name.partition("-")[2]  # without its collection
    for pattern, family in FAMILIES:
        if re.search(pattern, own_name):
            return family
    raise LookupError(f"tests/zoo/zoo_stops.py knows no stop tokens for {name}")
