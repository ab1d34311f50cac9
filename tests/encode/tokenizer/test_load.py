"""Tokenizer folders are loaded as in transformers: ids, named tokens, added tokens and chat templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.errors import TemplateError, TokenizerError
from sftdata.pipeline.encoding import write_tokenizer

TEXTS = ("<s>Hello  world\n", "  x<|im_end|> y</think>", " a", "<|user|> \nq", "café e\u0301 <new_tok> Q")
NAMED = [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]
TOKEN = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
# name: (kind of tokenizer, changes of tokenizer_config.json (None removes), files to write (None removes))
FOLDERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "template in a file": ("byte_level", {}, {}),
    "template in the config": ("byte_level", {"chat_template": "C"}, {"chat_template.jinja": None}),
    "the file wins over the config": ("byte_level", {"chat_template": "C"}, {}),
    "named templates": ("byte_level", {"chat_template": NAMED}, {"chat_template.jinja": None}),
    "additional templates": ("byte_level", {}, {"additional_chat_templates/tool_use.jinja": "T"}),
    "Windows line endings in a template": ("byte_level", {}, {"chat_template.jinja": "A\r\nB\n"}),
    "no template": ("byte_level", {}, {"chat_template.jinja": None}),
    "no class": ("byte_level", {"tokenizer_class": None}, {}),
    "no class, but a Llama": ("sentence_piece", {"tokenizer_class": None}, {"config.json": {"model_type": "llama"}}),
    "LlamaTokenizer": ("sentence_piece", {"tokenizer_class": "LlamaTokenizer"}, {}),
    "LlamaTokenizerFast, byte-level": ("byte_level", {"tokenizer_class": "LlamaTokenizerFast"}, {}),
    "Qwen2Tokenizer": ("byte_level", {"tokenizer_class": "Qwen2Tokenizer"}, {}),
    "GPT2Tokenizer": ("byte_level", {"tokenizer_class": "GPT2Tokenizer"}, {}),
    "GemmaTokenizer": ("sentence_piece", {"tokenizer_class": "GemmaTokenizer"}, {}),
    "T5Tokenizer": ("unigram", {"tokenizer_class": "T5Tokenizer"}, {}),
    "added tokens only in the config": (
        "byte_level",
        {"added_tokens_decoder": {"5000": {"content": "<new_tok>", **TOKEN}}},
        {},
    ),
    "added tokens with other flags in the config": (
        "byte_level",
        {"added_tokens_decoder": {"944": {"content": "<think>", **TOKEN}}},
        {},
    ),
    "named special tokens beyond the usual ones": (
        "byte_level",
        {"extra_special_tokens": {"image_token": "<image>"}},
        {},
    ),
    "further special tokens": ("byte_level", {"additional_special_tokens": ["<think>", "<new_tok>"]}, {}),
    "added tokens in a file of their own": ("byte_level", {}, {"added_tokens.json": {"<new_tok>": 1500}}),
    "no class, but a Qwen2": ("byte_level", {"tokenizer_class": None}, {"config.json": {"model_type": "qwen2"}}),
    "a map that contradicts the config": ("byte_level", {}, {"special_tokens_map.json": {"eos_token": "<|im_end|>"}}),
    "named templates and a file": ("byte_level", {"chat_template": NAMED}, {}),
    "the config wins over a processor's template": (
        "byte_level",
        {"chat_template": "C"},
        {"chat_template.jinja": None, "chat_template.json": {"chat_template": "J"}},
    ),
    "an EOS that no file knows": ("byte_level", {"eos_token": "<new_tok>"}, {}),
    "an EOS as an object": ("byte_level", {"eos_token": {"__type": "AddedToken", "content": "</s>", **TOKEN}}, {}),
    "named tokens in the older map": (
        "byte_level",
        {"eos_token": None, "bos_token": None},
        {"special_tokens_map.json": {"eos_token": "<|im_end|>", "bos_token": {"content": "<s>"}}},
    ),
    "no config": ("byte_level", {}, {"tokenizer_config.json": None}),
    "settings of the tokenizing call": ("byte_level", {"add_prefix_space": True, "add_bos_token": True}, {}),
}


def make_folder(folder: Path, kind: str, config: Mapping[str, Any], files: Mapping[str, Any]) -> Path:
    """A tokenizer folder with changes."""
    folder = tiny_tokenizers.build(kind, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")) | config
    settings = {name: value for name, value in settings.items() if value is not None}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode())
    return folder


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_loaded_as_in_transformers(tmp_path: Path, name: str) -> None:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    folder = make_folder(tmp_path, *FOLDERS[name])
    theirs: Any = AutoTokenizer.from_pretrained(str(folder))
    ours = load_tokenizer(str(folder))
    tokenizer = Tokenizer.from_buffer(ours.tokenizer_json)
    for text in TEXTS:
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.encode(text, add_special_tokens=False).ids == expected
    templates = theirs.chat_template or {}
    assert dict(ours.chat_templates) == ({"default": templates} if isinstance(templates, str) else dict(templates))
    assert dict(ours.special_tokens) == {k: v for k, v in theirs.special_tokens_map.items() if isinstance(v, str)}
    assert {token.content: token.special for token in ours.added_tokens()} == {
        token.content: token.special for token in theirs.added_tokens_decoder.values()
    }


@pytest.mark.parametrize("name", FOLDERS)
def test_the_tokenizer_of_a_dataset_is_loaded_as_the_original(tmp_path: Path, name: str) -> None:
    from transformers import AutoTokenizer

    folder = make_folder(tmp_path, *FOLDERS[name])
    written = write(folder, tmp_path / "out")
    theirs: Any = AutoTokenizer.from_pretrained(str(folder))
    ours: Any = AutoTokenizer.from_pretrained(str(written))
    for text in TEXTS:
        for special in (False, True):
            expected = theirs(text, add_special_tokens=special)["input_ids"]
            assert ours(text, add_special_tokens=special)["input_ids"] == expected
        assert ours.decode(theirs(text)["input_ids"]) == theirs.decode(theirs(text)["input_ids"])
    assert ours.chat_template == theirs.chat_template
    assert ours.special_tokens_map == theirs.special_tokens_map
    for setting in ("clean_up_tokenization_spaces", "model_max_length", "padding_side", "truncation_side"):
        assert getattr(ours, setting) == getattr(theirs, setting)


def test_fields_that_sftdata_does_not_know_and_other_files_go_along_unchanged(tmp_path: Path) -> None:
    generation = '{"eos_token_id": [2, 7],\n  "top_p": 0.9}'
    config = {"response_schema": {"x": [1]}, "padding_side": "left", "image_token": "<image>"}
    folder = make_folder(tmp_path, "byte_level", config, {"generation_config.json": generation})
    written = write(folder, tmp_path / "out")
    assert (written / "generation_config.json").read_text(encoding="utf-8") == generation
    assert json.loads((written / "tokenizer_config.json").read_text(encoding="utf-8")) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1000000000,
        "bos_token": "<s>",
        "eos_token": "</s>",
        **config,
    }


def test_a_datasets_tokenizer_is_data_alone_whatever_its_source_holds(tmp_path: Path) -> None:
    code = {"AutoTokenizer": ["tokenization_x.XTokenizer", None], "AutoConfig": "evil/repo--x.Config"}
    config = {"auto_map": code, "processor": {"auto_map": code, "size": 3}}
    files = {
        "generation_config.json": {"top_k": 5, "auto_map": code, "custom_generate": "evil/repo"},
        "special_tokens_map.json": {"eos_token": "</s>", "auto_map": code},
        "tokenization_x.py": "raise SystemExit('foreign code ran')",
        "additional_chat_templates/rag.py": "raise SystemExit('foreign code ran')",
        "additional_chat_templates/rag.jinja": "R",
    }
    folder = make_folder(tmp_path, "byte_level", config, files)
    written = write(folder, tmp_path / "out")
    names = sorted(path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file())
    assert names == [
        "additional_chat_templates/rag.jinja",
        "chat_template.jinja",
        "generation_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert not any("auto_map" in path.read_text(encoding="utf-8") for path in written.rglob("*") if path.is_file())
    assert json.loads((written / "generation_config.json").read_text()) == {"top_k": 5}
    assert json.loads((written / "tokenizer_config.json").read_text())["processor"] == {"size": 3}


@pytest.mark.parametrize("name", ["../../../evil", "/tmp/evil", "a/b", "..", ".hidden", "", "a\0", "x" * 60, "C:x"])
def test_a_template_whose_name_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    named = {"default": tiny_tokenizers.CHATML, name: "R"}
    folder = make_folder(tmp_path, "byte_level", {"chat_template": named}, {"chat_template.jinja": None})
    with pytest.raises(TokenizerError, match="has a name that no file can have; rename it"):
        load_tokenizer(str(folder))


def test_several_templates_and_no_default_are_an_error_with_their_names_until_one_is_chosen(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    named = [{"name": "rag", "template": tiny_tokenizers.CHATML}, {"name": "plain", "template": "P"}]
    folder = make_folder(tmp_path, "byte_level", {"chat_template": named}, {"chat_template.jinja": None})
    with pytest.raises(TemplateError, match=r"no default: plain, rag.*template=plain"):
        encoder_of(folder)
    written: Any = AutoTokenizer.from_pretrained(str(write(folder, tmp_path / "out", template="rag")))
    assert written.chat_template == {"default": tiny_tokenizers.CHATML, "rag": tiny_tokenizers.CHATML, "plain": "P"}


def test_a_tool_template_that_was_not_used_does_not_go_along(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "byte_level", {"chat_template": NAMED}, {"chat_template.jinja": None})
    written = write(folder, tmp_path / "out", template="chatml")
    assert not (written / "additional_chat_templates").exists()


def encoder_of(folder: Path, template: str = "auto") -> RecordEncoder:
    """An encoder with a folder's tokenizer."""
    files = load_tokenizer(str(folder))
    return RecordEncoder(
        EncodeSettings(files=files, date="2026-01-01", template="none" if not files.chat_templates else template)
    )


def write(folder: Path, out: Path, template: str = "auto") -> Path:
    """Write a folder's tokenizer as `prepare` does, and return where."""
    write_tokenizer(encoder_of(folder, template), out)
    return out / "tokenizer"


def test_a_folder_without_a_tokenizer_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=str(tmp_path)):
        load_tokenizer(str(tmp_path))


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="no such folder"):
        load_tokenizer(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("text", ["{", "[]", '{"model": 3}', '{"version": "1.0"}'])
def test_a_broken_tokenizer_json_is_an_error_that_names_the_folder(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(TokenizerError, match=tmp_path.name):
        load_tokenizer(str(tmp_path))
