"""Tokenizers for the templates of the zoo: a small byte-level BPE, and a family's own markers as tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from zoo_chats import CHATS, row_of
from zoo_stops import Family

CORPUS = [
    "What is a tide? The rise and fall of the sea. What causes it? Mostly the pull of the moon, 0 1 2 3 4 5 6 7 8 9.",
    "system user assistant tool model developer: You are a helpful assistant. ### Response: function arguments name",
    '{"type": "function", "function": {"name": "get_weather", "description": "Look up the weather of a city."}}\n\n\n',
    "Good morning! It is cool, under grey skies. Let me look. <tools> </tools> <parameter=city> Quito </parameter>\r\n",
] * 12
# What a family writes as one token. Names with spaces in them are none, and neither are tags that hold arguments.
SPECIAL = re.compile(
    r"<\|[^|<>\s'\"{}]{1,40}\|>|<\uff5c[^\uff5c<>\s'\"{}]{1,40}\uff5c>|<\|[a-z_]{2,30}>|<[a-z_]{2,30}\|>|\[/?[A-Z_]{3,}\]"
    r"|\[gMASK\]|<sop>|<eop>|</?s>|<(?:start|end)_of_[a-z_]+>|<(?:bos|eos|pad|BOS_TOKEN)>|<\[[a-z\u2581_]+\]>|\]<\][a-z_]+\[>\["
    r"|<(?:start|end)_function_[a-z_]+>|<escape>|<seed:(?:bos|eos)>|\[\|[a-z]+\|\]|\[e~\[|\]~!?b[\[\]]|<SPECIAL_\d+>"
    r"|<(?:beginning|end)_of_sentence>|<\|\"\|>|</?(?:user|assistant)>|<_(?:user|bot|system)>"
)
# Added tokens that publishers do not flag as special.
MARKERS = re.compile(r"</?(?:\w+:)?(?:think|tool_call|tool_response|tool_calls)(?::\w+)?>")


@cache
def _base() -> str:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    pattern = r"'s|'t| ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=[]
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    text: str = tokenizer.to_str()
    return text


def graft(folder: Path, template: str, family: Family) -> Path:
    """A folder with a tokenizer for a template, whose EOS and generation_config.json are those of its family."""
    from tokenizers import AddedToken, Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    written = [template, *renderings(template, family)]
    special = dict.fromkeys([family.bos, *family.stops, *_found(SPECIAL, written)])
    found = _found(MARKERS, written)
    found += [text.replace("<", "</") for text in found if not text.startswith("</")]  # publishers have both of a pair
    markers = [text for text in dict.fromkeys(found) if text not in special]
    tokenizer = Tokenizer.from_str(_base())
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special if text])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in markers])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 10**9,
        "eos_token": family.stops[0],
        **({"bos_token": family.bos} if family.bos else {}),
    }
    stops = [tokenizer.token_to_id(stop) for stop in family.stops]
    for name, value in (("tokenizer_config", settings), ("generation_config", {"eos_token_id": stops})):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def _found(pattern: re.Pattern[str], texts: Sequence[str]) -> list[str]:
    return [found for text in texts for found in pattern.findall(text)]


def renderings(template: str, family: Family) -> list[str]:
    """What the template writes of every kind: markers that its source has only in parts."""
    import jinja2
    from transformers.utils.chat_template_utils import render_jinja_template

    texts = []
    for kind in CHATS:
        row = row_of(kind)
        for message in row["messages"]:
            if "<think>" in (message["content"] or ""):
                message["content"] = message["content"].rpartition("</think>")[2]
        try:
            found, _ = render_jinja_template(
                [row["messages"]],
                tools=row.get("tools"),
                chat_template=template,
                add_generation_prompt=True,
                bos_token=family.bos or "",
                eos_token=family.stops[0],
                unk_token="",
                pad_token="",
            )
        except (jinja2.exceptions.TemplateError, TypeError, ValueError, LookupError, AttributeError):
            continue
        texts += found
    return texts
