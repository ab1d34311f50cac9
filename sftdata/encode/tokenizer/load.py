"""Find and load the files of a tokenizer. transformers is imported only if the files alone do not define it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sftdata.errors import TokenizerError, first_line, is_fault_of_library, offline_switch
from sftdata.files.inside import is_plain_name
from sftdata.files.no_code import json_without_code, without_code

SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Classes that use tokenizer.json unchanged. With other classes, transformers may rebuild the tokenizer from its
# vocabulary, so it is loaded with transformers.
PLAIN_CLASSES = (None, "PreTrainedTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer")
OTHER_FILES = ("generation_config.json", "special_tokens_map.json")
MAX_TEMPLATE_NAME_CHARS = 50
MAX_IDS = 1 << 24  # more than any vocabulary has
# For which a tokenizer's class may have defaults of its own.
CLASS_SETTINGS = ("clean_up_tokenization_spaces", "model_max_length", "padding_side", "truncation_side")
HUB_FILES = (
    "tokenizer*",
    "*.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "*.model",
    "vocab*",
    "merges.txt",
    "*.tiktoken",
    "additional_chat_templates/*",
)


class AddedToken(NamedTuple):
    """A token that is matched in the text before the rest is tokenized."""

    id: int
    content: str
    special: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFiles:
    """A tokenizer's tokenizer.json, named special tokens and chat templates."""

    source: str
    tokenizer_json: bytes  # tokenizer.json as used
    special_tokens: Mapping[str, str]  # such as eos_token -> "</s>"; only those that are set
    chat_templates: Mapping[str, str]  # by name: "default", and others such as "tool_use" if the tokenizer has them
    settings: Mapping[str, Any] = field(default_factory=dict)  # tokenizer_config.json
    other_files: Mapping[str, bytes] = field(default_factory=dict)  # those of OTHER_FILES that are there
    declared_stops: tuple[str, ...] = ()  # see stops.py

    @property
    def sha256(self) -> str:
        """The hash of tokenizer.json as used."""
        return _sha256(self.tokenizer_json)

    @property
    def spec(self) -> Mapping[str, Any]:
        """tokenizer.json as used, parsed. Do not modify it."""
        return parse_tokenizer_json(self.tokenizer_json)

    def added_tokens(self) -> tuple[AddedToken, ...]:
        """The added tokens, sorted by id."""
        entries = self.spec.get("added_tokens") or []
        tokens = (AddedToken(entry["id"], entry["content"], bool(entry.get("special"))) for entry in entries)
        return tuple(sorted(tokens, key=lambda token: token.id))

    def config(self) -> dict[str, Any]:
        """The contents of a tokenizer_config.json with which transformers loads the same tokenizer.

        Its fields are the tokenizer's own, except for the class, which is one that takes tokenizer.json as it is; code
        of the tokenizer's own, which does not go along; and chat templates, which are files of their own.
        """
        own = {key: value for key, value in without_code(self.settings).items() if key != "chat_template"}
        if own.get("tokenizer_class") not in PLAIN_CLASSES[1:]:
            own["tokenizer_class"] = PLAIN_CLASSES[1]
        named = {name: text for name, text in self.special_tokens.items() if _content(own.get(name)) != text}
        return {**own, **named}


@lru_cache(maxsize=2)
def parse_tokenizer_json(data: bytes) -> dict[str, Any]:
    """A parsed tokenizer.json. The last two are cached, so do not modify it. Raises ValueError if it is not JSON."""
    spec: dict[str, Any] = orjson.loads(data)
    return spec


@lru_cache(maxsize=2)
def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def load_tokenizer(source: str, *, trust_remote_code: bool = False) -> TokenizerFiles:
    """The tokenizer in a folder or on the hub. Raises TokenizerError if there is none or it cannot be loaded."""
    folder = _folder_of(source)
    files = read_plain(folder, source)
    if files is None:
        files = _load_with_transformers(source, folder, trust_remote_code)
        _check_spec(files.spec, source)
    return files


def read_plain(folder: Path, source: str = "") -> TokenizerFiles | None:
    """The tokenizer in a folder, or None if it takes transformers to load it. Raises TokenizerError on broken files."""
    try:
        return _read_plain(folder, source)
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError, OSError) as error:
        what = f"its files are not those of a tokenizer ({type(error).__name__}: {first_line(error)[:200]})"
        raise TokenizerError(source or str(folder), what, "download it again") from error


def _read_plain(folder: Path, source: str) -> TokenizerFiles | None:
    """See read_plain. Files of strangers may have any types, which raise what Python raises."""
    config = _read_json(folder / "tokenizer_config.json")
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    data = _read_tokenizer_json(path, source)
    if not _is_plain(config, folder, data):
        return None
    return TokenizerFiles(
        source=source,
        tokenizer_json=data,
        special_tokens=_special_tokens(folder, config),
        chat_templates=_with_file_names(_chat_templates(folder, config), source),
        settings=config,
        other_files=_other_files(folder),
    )


def _other_files(folder: Path) -> dict[str, bytes]:
    """The files of a tokenizer's folder that go along as they are, but for what names code."""
    files = {}
    for name in OTHER_FILES:
        path = folder / name
        try:
            if path.is_file():
                files[name] = json_without_code(path.read_bytes())
        except (ValueError, OSError) as error:
            raise TokenizerError(str(path), f"cannot be read ({error})") from error
    return files


def _with_file_names(templates: dict[str, str], source: str) -> dict[str, str]:
    """The templates, after a check that each can become a file of its name. Raises TokenizerError."""
    for name in templates:
        if not is_plain_name(name) or "/" in name or name.startswith(".") or len(name) > MAX_TEMPLATE_NAME_CHARS:
            what = f"its chat template {name[:MAX_TEMPLATE_NAME_CHARS]!r} has a name that no file can have"
            raise TokenizerError(source, what, "rename it in the files of the tokenizer")
    return templates


def _read_tokenizer_json(path: Path, source: str) -> bytes:
    """The contents of tokenizer.json, after a check that it is one."""
    try:
        data = path.read_bytes()
        spec: Any = parse_tokenizer_json(data)
    except (ValueError, OSError) as error:
        raise TokenizerError(source, f"cannot read tokenizer.json ({error})", "download it again") from error
    if not isinstance(spec, dict) or not isinstance(spec.get("model"), dict):
        raise TokenizerError(source, "tokenizer.json does not contain a tokenizer", "download it again")
    _check_spec(spec, source)
    return data


def _check_spec(spec: Mapping[str, Any], source: str) -> None:
    """Raise TokenizerError if the tokens of a tokenizer.json have no texts, or no ids that a tokenizer may have."""
    why = _wrong_tokens(spec)
    if why is not None:
        raise TokenizerError(source, f"its tokenizer.json is damaged: {why}", "download it again")


def _wrong_tokens(spec: Mapping[str, Any]) -> str | None:
    """What is wrong with the tokens of a tokenizer.json, or None."""
    added = spec.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(entry, dict) for entry in added):
        return "added_tokens is not a list of objects"
    texts: dict[int, str] = {}
    for number, entry in enumerate(added, 1):
        id_, text = entry.get("id"), entry.get("content")
        if type(id_) is not int or not isinstance(text, str):
            return f"added token {number} has no whole number as its id or no text as its content"
        if not 0 <= id_ < MAX_IDS:
            return f"added token {number} has the id {id_}; ids are from 0 to {MAX_IDS - 1:,}"
        if texts.setdefault(id_, text) != text:
            return f"the added tokens {texts[id_]!r} and {text!r} have the same id, {id_}"
    vocab = spec["model"].get("vocab")
    if isinstance(vocab, dict):
        if not {type(id_) for id_ in vocab.values()} <= {int}:
            return "an id in its vocabulary is no whole number"
        if vocab and not (min(vocab.values()) >= 0 and max(vocab.values()) < MAX_IDS):
            return f"an id in its vocabulary is not from 0 to {MAX_IDS - 1:,}"
    elif isinstance(vocab, list):
        if not all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in vocab):
            return "its vocabulary is not a list of pairs of a text and a number"
    else:
        return "it has no vocabulary"
    merges = spec["model"].get("merges") or []
    if not isinstance(merges, list) or not set(map(type, merges)) <= {str, list}:
        return "its merges are not a list of texts or pairs"
    wrong = [name for name in ("normalizer", "pre_tokenizer", "decoder") if not _is_part(spec.get(name))]
    return f"its {wrong[0]} is not an object with a type" if wrong else None


def _is_part(part: Any) -> bool:
    """Whether a normalizer, pre-tokenizer or decoder is one, or null, with all its parts."""
    if part is None:
        return True
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return False
    lists = [part[key] for key in ("normalizers", "pretokenizers", "decoders") if key in part]
    return all(isinstance(each, list) and all(map(_is_part, each)) for each in lists)


def _folder_of(source: str) -> Path:
    """The folder called `source`, or else the folder of that hub id, downloaded."""
    path = Path(source)
    if path.is_dir():
        return path
    if path.is_file():
        raise TokenizerError(source, "is a file", "give the folder that contains tokenizer.json")
    if source.count("/") > 1 or source.startswith((".", "/", "~")):
        raise TokenizerError(source, "there is no such folder", "give a folder with a tokenizer, or a hub id ORG/NAME")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, allow_patterns=list(HUB_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        if (switch := offline_switch()) is not None:
            what = f"is not a local folder, and not in the cache of the hub, and {switch} is set"
            raise TokenizerError(source, what, f"unset {switch} to download it, or check the name") from error
        why = str(error).splitlines()[0]
        what = f"is not a local folder and cannot be downloaded from the hub ({why})"
        raise TokenizerError(source, what, "check the name and the network") from error


def _read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError, RecursionError) as error:
        raise TokenizerError(str(path), f"cannot be read ({first_line(error)})") from error
    if not isinstance(value, dict):
        raise TokenizerError(str(path), "is not a JSON object", "download it again")
    return value


def _is_plain(config: Mapping[str, Any], folder: Path, data: bytes) -> bool:
    """Whether tokenizer.json, with these contents, alone defines the tokenizer."""
    named_class = config.get("tokenizer_class")
    if (
        named_class not in PLAIN_CLASSES
        or config.get("auto_map")
        or isinstance(config.get("extra_special_tokens"), dict)
    ):
        return False
    if named_class is None and _read_json(folder / "config.json").get("model_type"):
        return False
    known = {entry["content"]: entry for entry in parse_tokenizer_json(data).get("added_tokens") or []}
    named = {**config, **_read_json(folder / "special_tokens_map.json")}
    texts = {_content(named.get(name)) for name in SPECIAL_NAMES} - {None}
    for name in ("additional_special_tokens", "extra_special_tokens"):
        texts |= {_content(token) for token in named.get(name) or []}
    texts |= _read_json(folder / "added_tokens.json").keys()
    return texts <= known.keys() and all(
        known.get(entry.get("content"), {}).get(flag, False) == entry.get(flag, False)
        for entry in (config.get("added_tokens_decoder") or {}).values()
        for flag in ("content", "special", "lstrip", "rstrip", "single_word", "normalized")
    )


def _special_tokens(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The named special tokens. special_tokens_map.json wins over tokenizer_config.json, as in transformers."""
    named = {**config, **_read_json(folder / "special_tokens_map.json")}
    tokens = {}
    for name in SPECIAL_NAMES:
        value = _content(named.get(name))
        if value is not None:
            tokens[name] = value
    return tokens


def _content(token: object) -> str | None:
    """The text of a named token, which is an object with flags in older files."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _chat_templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The chat templates by name.

    The default is chat_template.jinja if it exists, else the config's, else that of a processor's chat_template.json.
    """
    templates = {}
    file = folder / "chat_template.jinja"
    if file.is_file():
        templates["default"] = file.read_text(encoding="utf-8")
    else:
        value = config.get("chat_template") or _read_json(folder / "chat_template.json").get("chat_template")
        templates = dict(_named_templates(value))
    for extra in sorted(folder.glob("additional_chat_templates/*.jinja")):
        templates[extra.stem] = extra.read_text(encoding="utf-8")
    return templates


def _named_templates(value: object) -> Iterator[tuple[str, str]]:
    """The templates by name, in any of the formats that tokenizer_config.json has had."""
    if isinstance(value, str):
        yield "default", value
    elif isinstance(value, Mapping):
        yield from ((str(name), text) for name, text in value.items() if isinstance(text, str))
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, Mapping) and isinstance(entry.get("template"), str):
                yield str(entry.get("name")), entry["template"]


def _load_with_transformers(source: str, folder: Path, trust_remote_code: bool) -> TokenizerFiles:
    """The tokenizer as transformers loads it."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from transformers import AutoTokenizer

    config = _read_json(folder / "tokenizer_config.json")
    options: dict[str, Any] = {}
    gguf = sorted(folder.glob("*.gguf"))
    if gguf and not (folder / "tokenizer_config.json").is_file():
        options["gguf_file"] = gguf[0].name
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust_remote_code, **options)
    except BaseException as error:  # transformers raises many types of exceptions for missing or invalid files
        if not is_fault_of_library(error):
            raise
        why = " ".join(str(error).split())[:300]
        raise TokenizerError(source, f"cannot be loaded as a tokenizer ({why})", "check the files in it") from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise TokenizerError(source, "has no fast tokenizer", "convert it to a tokenizer.json first")
    named = {name: str(value) for name, value in tokenizer.special_tokens_map.items() if not isinstance(value, list)}
    return TokenizerFiles(
        source=source,
        tokenizer_json=backend.to_str().encode(),
        special_tokens=named,
        chat_templates=_with_file_names(dict(_named_templates(tokenizer.chat_template)), source),
        settings={**{name: getattr(tokenizer, name) for name in CLASS_SETTINGS}, **config},
        other_files=_other_files(folder),
    )
