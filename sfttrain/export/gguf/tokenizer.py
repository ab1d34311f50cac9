"""A tokenizer as GGUF has it: byte-level BPE that llama.cpp splits as the tokenizer does, and nothing else.

llama.cpp knows how to split a text by the name of a scheme alone. So a tokenizer.json is written only where its
pre-tokenizer is, part for part, the one behind such a name. A begin token is never added: the chat template writes the
one that was trained, or none was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftdata.errors import ModelError

if TYPE_CHECKING:
    from gguf import GGUFWriter

CONVERT = "convert the exported folder with llama.cpp's own convert_hf_to_gguf.py"
_WORDS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
_REST = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
# What a pre-tokenizer does -> llama.cpp's name for it, and whether whole words of the vocabulary go before merges.
_SCHEMES: dict[tuple[str, ...], tuple[str, bool]] = {
    ("words",): ("gpt-2", False),
    ("digits", "words"): ("smollm", False),
    (f"{_WORDS}\\p{{N}}{_REST}", "bytes"): ("qwen2", False),
    (f"{_WORDS}\\p{{N}}{{1,3}}{_REST}", "bytes"): ("llama-bpe", True),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The parts of a tokenizer that go into a GGUF file."""

    tokens: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str]
    scheme: str
    special: Mapping[str, int]  # bos, eos, pad, unk, and eot, eom where answers end in other tokens than eos
    template: str | None
    is_normalized: bool  # to NFC, which llama.cpp does not do


def read_vocabulary(folder: Path, size: int, ends: Sequence[int]) -> Vocabulary:
    """The tokenizer of a folder for a model of `size` ids whose answers end in `ends`.

    Raises ModelError where llama.cpp would encode texts in another way.
    """
    from gguf import TokenType

    content = json.loads((folder / "tokenizer.json").read_bytes())
    settings = _settings(folder)
    model = content["model"]
    scheme = _scheme(content)
    tokens = [f"[PAD{at}]" for at in range(size)]
    types = [int(TokenType.UNUSED)] * size
    for token, at in model["vocab"].items():
        tokens[at], types[at] = token, int(TokenType.NORMAL)
    ids = dict(model["vocab"])
    for added in content.get("added_tokens") or ():
        if added.get("lstrip") or added.get("rstrip") or added.get("single_word"):
            raise _refused(f"its token {added['content']!r} takes the white space beside it")
        tokens[added["id"]] = added["content"]
        types[added["id"]] = int(TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED)
        ids[added["content"]] = added["id"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    is_normalized = content.get("normalizer") is not None
    special = _special(settings, ids, ends)
    return Vocabulary(tokens, types, merges, scheme, special, _template(folder, settings), is_normalized)


def add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    """Write the tokenizer's part of the metadata."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.scheme)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.types))
    writer.add_token_merges(list(vocabulary.merges))
    for name, id_ in vocabulary.special.items():
        getattr(writer, f"add_{name}_token_id")(id_)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    if vocabulary.template is not None:
        writer.add_chat_template(vocabulary.template)


def _scheme(content: Mapping[str, Any]) -> str:
    """llama.cpp's name for how a tokenizer.json splits texts. Raises ModelError where it has none."""
    model, normalizer = content["model"], content.get("normalizer")
    if model.get("type") != "BPE" or model.get("byte_fallback") or model.get("continuing_subword_prefix"):
        raise _refused(f"it is not a byte-level BPE, but {model.get('type', 'of no named type')}")
    if normalizer is not None and normalizer.get("type") != "NFC":
        raise _refused(f"it changes texts before it encodes them ({normalizer.get('type')})")
    found = _SCHEMES.get(tuple(_parts(content.get("pre_tokenizer"))))
    if found is None or found[1] != bool(model.get("ignore_merges")):
        raise _refused("it splits texts into words in a way that is not known here")
    return found[0]


def _parts(step: Any) -> list[str]:
    """What a pre-tokenizer does, part by part; `?` for what is not known."""
    match step:
        case {"type": "Sequence", "pretokenizers": [*steps]}:
            return [part for inner in steps for part in _parts(inner)]
        case {"type": "Digits", "individual_digits": True}:
            return ["digits"]
        case {"type": "ByteLevel", "add_prefix_space": False}:
            return ["words" if step.get("use_regex", True) else "bytes"]
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False}:
            return [pattern]
    return ["?"]


def _special(settings: Mapping[str, Any], ids: Mapping[str, int], ends: Sequence[int]) -> dict[str, int]:
    """The special tokens by their names in GGUF. The eos token stays that of the tokenizer: a template may write it."""
    found: dict[str, int] = {}
    for name in ("bos", "eos", "pad", "unk"):
        given = settings.get(f"{name}_token")
        text = given.get("content") if isinstance(given, dict) else given
        if isinstance(text, str) and text in ids:
            found[name] = ids[text]
    others = [id_ for id_ in ends if id_ != found.get("eos")]
    if "eos" not in found:  # llama.cpp would take a token of its own choice
        if not others:
            raise _refused("it has no end token, and no end of a turn was trained")
        found["eos"] = others.pop(0)
    if len(others) > 2:
        raise _refused(f"answers end in {len(ends)} different tokens, and GGUF has room for 3")
    return found | dict(zip(("eot", "eom"), others))


def _settings(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json."""
    path = folder / "tokenizer_config.json"
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The chat template, as transformers finds it."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    given = settings.get("chat_template")
    if isinstance(given, list):
        given = next((one.get("template") for one in given if one.get("name") == "default"), None)
    return given if isinstance(given, str) else None


def _refused(what: str) -> ModelError:
    return ModelError("--gguf", f"this tokenizer cannot be written: {what}", CONVERT)
