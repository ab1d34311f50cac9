"""The model: its files, compared with the dataset, then its weights, with or without an adapter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftdata.errors import ConfigError, DatasetError, ModelError, SftDataError, first_line, offline_switch
from sfttrain.config import LoraSettings, TrainConfig
from sfttrain.data import Shards
from sfttrain.ways.dropout import set_dropout

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# A model with one of these has a tokenizer, even if it comes without a tokenizer.json.
OTHER_TOKENIZER_FILES = ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tiktoken.model")
TOKENIZER_JSON = "tokenizer.json"
OTHER_TOKENIZER = "prepare the dataset with this model's tokenizer, or train the model that the tokenizer belongs to"
GIVE_A_MODEL = "give a folder with config.json and weights, or the id of a model on the hub"
OF_ATTENTION = ("attn_implementation", "FlashAttention")  # in what transformers says of an attention that is not there


def read_model_config(config: TrainConfig) -> Any:
    """The model's config.json as transformers reads it. Raises ModelError."""
    with _load_errors(config.model):
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(config.model, trust_remote_code=config.trust_remote_code)


def check_vocabulary(config: TrainConfig, shards: Shards, model: Any) -> int:
    """The number of the model's token ids. Raises ModelError where the dataset has more."""
    num_ids = shards.manifest.tokenizer.vocab_size
    vocab_size = int(model.get_text_config().vocab_size)
    if num_ids > vocab_size:
        what = f"has {vocab_size:,} token ids, fewer than the {num_ids:,} of the dataset's tokenizer"
        raise ModelError(config.model, what, OTHER_TOKENIZER)
    return vocab_size


def compare_vocabularies(config: TrainConfig, shards: Shards, theirs: dict[str, int]) -> str:
    """In words, that both tokenizers have the same tokens. Raises ModelError naming the first that differs."""
    ours = read_vocabulary(shards.tokenizer / TOKENIZER_JSON)
    difference = _first_difference(ours, theirs)
    if difference:
        raise ModelError(config.model, f"its tokenizer differs from the dataset's: {difference}", OTHER_TOKENIZER)
    return f"same tokenizer as the dataset ({len(ours):,} tokens)"


def load_model(config: TrainConfig, dtype: str, attn_implementation: str | None) -> PreTrainedModel:
    """The model with its weights. Raises ModelError where it cannot be loaded or is not a causal language model.

    Full training keeps the weights in float32, whatever the compute dtype; the frozen weights under an adapter are in
    `dtype`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    weights = torch.bfloat16 if dtype == "bfloat16" and config.lora is not None else torch.float32
    changed = read_model_config(config)
    set_dropout(changed, config.dropout)
    quantized = {} if config.lora is None or config.lora.quantize == "none" else {"quantization_config": four_bits()}
    with _load_errors(config.model):
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            config.model,
            config=changed,
            **quantized,
            dtype=weights,
            attn_implementation=attn_implementation,
            trust_remote_code=config.trust_remote_code,
        )
    return model


def four_bits() -> Any:
    """How QLoRA keeps the frozen weights: NF4 with double quantization, computed in bfloat16 (arXiv 2305.14314)."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def lora_config(settings: LoraSettings | None) -> LoraConfig | None:
    """The settings as PEFT's LoraConfig; None without an adapter."""
    if settings is None:
        return None
    from peft import LoraConfig

    modules = settings.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.r,
        lora_alpha=settings.scale_alpha,
        lora_dropout=settings.dropout,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        target_modules=modules if isinstance(modules, str) else list(modules),
    )


def load_tokenizer(shards: Shards) -> PreTrainedTokenizerBase:
    """The dataset's tokenizer. TRL requires a padding token, though packed rows are never padded.

    Raises DatasetError where it cannot be loaded. It is data: code of its own is never run.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(shards.tokenizer), trust_remote_code=False
        )
    except Exception as error:  # transformers and tokenizers raise many types of exceptions for files that are wrong
        what = f"cannot be loaded as a tokenizer ({first_line(error)})"
        raise DatasetError(str(shards.tokenizer), what, "prepare the dataset again") from error
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        ends = shards.manifest.tokenizer.end_of_turn_ids
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(ends[0] if ends else 0)
    return tokenizer


def add_stop_ids(model: Any, end_of_turn_ids: tuple[int, ...]) -> None:
    """Make `generate` stop at the tokens that end trained answers, in addition to the model's own stop tokens."""
    generation = model.generation_config
    known = generation.eos_token_id
    known = [] if known is None else known if isinstance(known, list) else [known]
    generation.eos_token_id = list(dict.fromkeys([*known, *end_of_turn_ids])) or None


def read_vocabulary(path: Path) -> dict[str, int]:
    """Token -> id of a tokenizer.json of any model type, added tokens included.

    Raises ModelError where the file cannot be read or is not a tokenizer.json.
    """
    try:
        content = json.loads(path.read_bytes())
        vocab = content["model"]["vocab"]
        # The vocabulary of a Unigram model is a list of [token, score].
        tokens = dict(vocab) if isinstance(vocab, dict) else {entry[0]: id for id, entry in enumerate(vocab)}
        tokens.update({added["content"]: added["id"] for added in content.get("added_tokens") or ()})
        if not all(type(token) is str and type(id) is int for token, id in tokens.items()):
            raise TypeError("a token is not a text, or an id is not a number")
    except OSError as error:
        raise ModelError(str(path), f"cannot be read ({error.strerror})", "check the file") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(str(path), "is not a tokenizer.json", "restore the file") from error
    return tokens


def model_tokenizer(config: TrainConfig) -> dict[str, int] | None:
    """The vocabulary of the model's own tokenizer; None where it has no tokenizer."""
    from transformers import AutoTokenizer

    with _load_errors(config.model):
        path = find_file(config.model, TOKENIZER_JSON)
        if path is not None:
            return read_vocabulary(path)
        if not any(find_file(config.model, name) for name in OTHER_TOKENIZER_FILES):
            return None
        tokenizer = AutoTokenizer.from_pretrained(config.model, trust_remote_code=config.trust_remote_code)
        return dict(tokenizer.get_vocab())


def model_file(config: TrainConfig, name: str) -> Path | None:
    """A file of the model, from its folder or the hub; None where it has no such file. Raises ModelError."""
    with _load_errors(config.model):
        return find_file(config.model, name)


def find_file(source: str, name: str) -> Path | None:
    """A file of a model, from its folder or the hub; None where the model has no such file."""
    if Path(source).is_dir():
        path = Path(source, name)
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(source, name))
    except LocalEntryNotFoundError:  # the hub cannot be reached, so the file may or may not exist
        raise
    except EntryNotFoundError:
        return None


def _first_difference(ours: dict[str, int], theirs: dict[str, int]) -> str | None:
    """The lowest id at which two vocabularies differ, in words; None where they are equal."""
    if ours == theirs:
        return None
    our_tokens = {id: token for token, id in ours.items()}
    their_tokens = {id: token for token, id in theirs.items()}
    for id in sorted(our_tokens.keys() | their_tokens.keys()):
        ours_here, theirs_here = our_tokens.get(id), their_tokens.get(id)
        if ours_here != theirs_here:
            return f"id {id} is {_quoted(ours_here)} in the dataset and {_quoted(theirs_here)} in the model"
    token = next(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
    return f"{token!r} has the id {ours.get(token)} in the dataset and {theirs.get(token)} in the model"


def _quoted(token: str | None) -> str:
    return "unused" if token is None else repr(token)


@contextmanager
def _load_errors(source: str) -> Iterator[None]:
    """Turn what transformers raises for a model that it cannot load into a ModelError of one sentence."""
    from safetensors import SafetensorError

    try:
        Path(source).is_dir()
    except (OSError, ValueError) as error:
        raise ModelError(f"model: {source[:100]}...", "cannot be the name of a folder", GIVE_A_MODEL) from error
    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise ModelError(source, "is not a folder" if Path(source).exists() else "does not exist", GIVE_A_MODEL)
    try:
        yield
    except SafetensorError as error:
        raise ModelError(source, f"its weights cannot be read ({error})", "download or copy the model again") from error
    except (OSError, ValueError, ImportError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        what = lines[0].split(". ")[0].rstrip(".")
        if any(word in what for word in OF_ATTENTION):
            raise ConfigError(
                "attn_implementation", what, "set auto, sdpa or eager, or install what it needs"
            ) from error
        if not Path(source).is_dir() and (switch := offline_switch()) is not None:
            what = f"is not a local folder, and not in the cache of the hub, and {switch} is set"
            raise ModelError(source, what, f"unset {switch} to download it, or check the name") from error
        if not Path(source).is_dir():
            what = f"is not a local folder and cannot be loaded from the hub ({what})"
        raise ModelError(source, what, GIVE_A_MODEL) from error
    except SftDataError:
        raise
    except Exception as error:  # of a config or weights that fit no model, transformers raises almost anything
        what = f"cannot be loaded ({type(error).__name__}: {first_line(error)[:200]})"
        raise ModelError(source, what, GIVE_A_MODEL) from error
