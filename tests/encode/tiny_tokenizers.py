"""Small tokenizers, built by the tests: byte-level, SentencePiece-like, Unigram, and with tokens that strip spaces."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CORPUS = [
    "What is the capital of France? Paris. The quick brown fox jumps over the lazy dog, 0 1 2 3 4 5 6 7 8 9.",
    "system user assistant tool model developer: You are a helpful assistant. USER: ASSISTANT: ### Response: [INST] [/INST]",
    'def f(x):\n    return x\n\n\n{"name": "lookup", "arguments": {"word": "city"}} <tools> </tools> it\'s café naïve',
    "日本語のテキスト。 مرحبا بالعالم\n\n  two  spaces\t\ttabs\r\n",
] * 12
# Special tokens of every family in templates/, and added tokens that are not special.
CONTROL = (
    "<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>", "<|im_sep|>", "<|im_end|>", "<|user|>", "<|assistant|>", "<|system|>",
    "<|end|>", "<|observation|>", "[gMASK]", "<sop>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<|eom_id|>", "<|python_tag|>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<|start|>", "<|channel|>", "<|message|>", "<|return|>",
    "<|call|>", "<|constrain|>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>",
    "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>",
)  # fmt: skip
MARKERS = (
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<｜User｜>", "<｜Assistant｜>",
    "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>",
    "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>",
)  # fmt: skip
# Of the families that came later, behind the others, so that the ids of those stay.
LATER = (
    "<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>",
    "<|tool_response>", "<tool_response|>", '<|"|>', "<|im_system|>", "<|im_user|>", "<|im_assistant|>", "<|im_middle|>",
    "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>",
    "<|tool_call_end|>", "<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", "<|tool_list_start|>", "<|tool_list_end|>",
    "<|tool_call_start|>", "<|tool_response_start|>", "<|tool_response_end|>", "]~!b[", "]~b]", "[e~[", "<|header_start|>",
    "<|header_end|>", "<|eot|>", "<|python_start|>", "<|python_end|>", "<|system_start|>", "<|system_end|>",
    "<|developer_start|>", "<|developer_end|>", "<|user_start|>", "<|user_end|>", "<|assistant_start|>", "<|assistant_end|>",
    "<|inner_prefix|>", "<|inner_suffix|>", "<|tools_prefix|>", "<|tools_suffix|>", "<|tool|>", "<|/tool|>", "<|tool_call|>",
    "<|/tool_call|>",
)  # fmt: skip
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def write_folder(folder: Path, tokenizer: Any, template: str | None = CHATML, **config: Any) -> Path:
    """Write a tokenizer to a folder that transformers can load."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 10**9,
        "bos_token": "<s>",
        "eos_token": "</s>",
        **config,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def _add(tokenizer: Any, *, rstrip: bool = False, marked: bool = False) -> Any:
    """Add special tokens, and added tokens that are not special.

    With `marked`, the tokenizer uses SentencePiece's word mark, and markers that contain one are left out.
    """
    from tokenizers import AddedToken

    markers = [text for text in MARKERS if not (marked and "\u2581" in text)]

    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False, rstrip=rstrip) for text in CONTROL])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in markers])
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False, rstrip=rstrip) for text in LATER])
    return tokenizer


def byte_level(*, normalizer: Any = None) -> Any:
    """A byte-level BPE like those of GPT-2, Llama 3 and Qwen."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    pattern = r"'s|'t| ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=[]
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _add(tokenizer)


def sentence_piece(*, rstrip: bool = False) -> Any:
    """A BPE with byte fallback whose normalizer adds a word mark at the start, like those of Llama 2 and Phi-3."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=700, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys([*pieces, *model["vocab"]]))}
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _add(tokenizer, rstrip=rstrip, marked=True)


def unigram(*, byte_fallback: bool = True) -> Any:
    """A Unigram model with the Metaspace pre-tokenizer, like that of T5. Without byte_fallback, characters that are not
    in its vocabulary become the unknown token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=400, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if byte_fallback:
        pipeline = json.loads(tokenizer.to_str())
        pipeline["model"]["vocab"] += [[f"<0x{byte:02X}>", -30.0] for byte in range(256)]
        pipeline["model"]["byte_fallback"] = True
        tokenizer = Tokenizer.from_str(json.dumps(pipeline))
    return _add(tokenizer, marked=True)


def build(kind: str, folder: Path) -> Path:
    """A folder with a tokenizer: byte_level, nfc, sentence_piece, phi (whose tokens strip spaces) or unigram."""
    from tokenizers import normalizers

    makers = {
        "byte_level": byte_level,
        "nfc": lambda: byte_level(normalizer=normalizers.NFC()),
        "sentence_piece": sentence_piece,
        "phi": lambda: sentence_piece(rstrip=True),
        "unigram": unigram,
    }
    return write_folder(folder / kind, makers[kind]())


KINDS = ("byte_level", "nfc", "sentence_piece", "phi", "unigram")
EOS = dict.fromkeys(("deepseek-r1", "deepseek-v3", "deepseek-v3.1"), "<｜end▁of▁sentence｜>")
