"""The model: refused before it is loaded where it does not fit the dataset, then loaded, full or with an adapter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftdata.errors import ConfigError, ModelError
from sfttrain.config import LoraSettings, TrainConfig
from sfttrain.data import Shards, read_vocabulary

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OTHER_TOKENIZERS = ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tiktoken.model")
GIVE_MODEL = "give a folder with config.json and weights, or the id of a model on the hub"


def check_model(config: TrainConfig, shards: Shards) -> str:
    """Hold the dataset's tokenizer against the model's files, without loading weights; says what was compared.

    Raises ModelError where there is no such model, its vocabulary is smaller than the dataset's ids, or a token has
    another id in its own tokenizer.
    """
    source = config.model
    num_ids = shards.manifest.tokenizer.vocab_size
    with _loading(source):
        from transformers import AutoConfig

        model = AutoConfig.from_pretrained(source, trust_remote_code=config.trust_remote_code)
        vocab_size = model.get_text_config().vocab_size
    todo = "prepare the dataset with this model's tokenizer, or train the model that the tokenizer belongs to"
    if num_ids > vocab_size:
        what = f"knows {vocab_size:,} ids, and the dataset's tokenizer has {num_ids:,}"
        raise ModelError(source, what, todo)
    theirs = _model_vocabulary(config)
    if theirs is None:
        return f"the model comes without a tokenizer; its {vocab_size:,} ids hold the dataset's {num_ids:,}"
    ours = read_vocabulary(shards.tokenizer / "tokenizer.json", ModelError)
    difference = _first_difference(ours, theirs)
    if difference:
        raise ModelError(source, f"its tokenizer is not the dataset's: {difference}", todo)
    return f"the model's tokenizer is the dataset's ({len(ours):,} tokens)"


def load_model(config: TrainConfig, dtype: str, attn_implementation: str | None) -> PreTrainedModel:
    """The model with its weights. Raises ModelError where it cannot be loaded or is not a causal language model.

    Full training keeps the weights in float32, whatever is computed in; frozen weights beside an adapter are held in
    `dtype`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    weights = torch.bfloat16 if dtype == "bfloat16" and config.lora is not None else torch.float32
    with _loading(config.model):
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            config.model,
            dtype=weights,
            attn_implementation=attn_implementation,
            trust_remote_code=config.trust_remote_code,
        )
    return model


def lora_config(settings: LoraSettings | None) -> LoraConfig | None:
    """PEFT's form of our settings."""
    if settings is None:
        return None
    from peft import LoraConfig

    modules = settings.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.r,
        lora_alpha=2 * settings.r if settings.alpha is None else settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
    )


def load_tokenizer(shards: Shards) -> PreTrainedTokenizerBase:
    """The dataset's tokenizer. TRL asks for a token to pad with, though packed rows are never padded."""
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(shards.tokenizer))
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        ends = shards.manifest.tokenizer.end_of_turn_ids
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(ends[0] if ends else 0)
    return tokenizer


def stop_ids(model: Any, end_of_turn_ids: tuple[int, ...]) -> None:
    """Have `generate` stop where the trained answers do, beside wherever the model stopped before."""
    generation = model.generation_config
    known = generation.eos_token_id
    known = [] if known is None else known if isinstance(known, list) else [known]
    generation.eos_token_id = list(dict.fromkeys([*known, *end_of_turn_ids])) or None


def pick_dtype(name: str) -> str:
    """`auto` as bfloat16 where the hardware is made for it: others compute it many times slower than float32."""
    import torch

    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if cpu_has_bfloat16(Path("/proc/cpuinfo")) else "float32"


def cpu_has_bfloat16(cpuinfo: Path) -> bool:
    """Whether Linux lists bfloat16 instructions for the processor; not elsewhere, where float32 is the safe choice."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return "amx_bf16" in flags or "avx512_bf16" in flags


def pick_attention(name: str, dtype: str) -> str | None:
    """`auto` as flash attention on a GPU that has it installed, else None: the best the model has in torch itself."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    if name != "auto":
        return name
    flash = torch.cuda.is_available() and dtype == "bfloat16" and is_flash_attn_2_available()
    return "flash_attention_2" if flash else None


def check_devices() -> None:
    """Raises ConfigError on several GPUs in one process, which TRL cannot use."""
    import torch

    count = torch.cuda.device_count()
    if count > 1 and "WORLD_SIZE" not in os.environ:
        todo = f"start it with `torchrun --nproc-per-node {count} -m sfttrain run ...`, or set CUDA_VISIBLE_DEVICES=0"
        raise ConfigError("this machine", f"shows {count} GPUs to one process", todo)


def _model_vocabulary(config: TrainConfig) -> dict[str, int] | None:
    """The tokens of the model's own tokenizer, or None where it comes without one."""
    from transformers import AutoTokenizer

    with _loading(config.model):
        path = _find(config.model, "tokenizer.json")
        if path is not None:
            return read_vocabulary(path, ModelError)
        if not any(_find(config.model, name) for name in OTHER_TOKENIZERS):
            return None
        tokenizer = AutoTokenizer.from_pretrained(config.model, trust_remote_code=config.trust_remote_code)
        return dict(tokenizer.get_vocab())


def _find(source: str, name: str) -> Path | None:
    """A file of a model, from its folder or the hub; None where the model has no such file."""
    if Path(source).is_dir():
        path = Path(source, name)
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(source, name))
    except LocalEntryNotFoundError:  # the hub cannot be reached: nobody knows whether there is one
        raise
    except EntryNotFoundError:
        return None


def _first_difference(ours: dict[str, int], theirs: dict[str, int]) -> str | None:
    """The lowest id on which two vocabularies differ, in words."""
    if ours == theirs:
        return None
    by_id = {id: token for token, id in ours.items()}
    their_by_id = {id: token for token, id in theirs.items()}
    for id in sorted(by_id.keys() | their_by_id.keys()):
        if by_id.get(id) != their_by_id.get(id):
            return f"id {id} is {_name(by_id.get(id))} in the dataset and {_name(their_by_id.get(id))} in the model"
    token = next(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
    return f"{token!r} has the id {ours.get(token)} in the dataset and {theirs.get(token)} in the model"


def _name(token: str | None) -> str:
    return "no token" if token is None else repr(token)


@contextmanager
def _loading(source: str) -> Iterator[None]:
    """What transformers says about a model that it cannot load, as a ModelError of one sentence."""
    from safetensors import SafetensorError

    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise ModelError(source, "is not a folder" if Path(source).exists() else "is not there", GIVE_MODEL)
    try:
        yield
    except SafetensorError as error:
        raise ModelError(source, f"its weights cannot be read ({error})", "download or copy the model again") from error
    except (OSError, ValueError, ImportError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        first = said[0].split(". ")[0].rstrip(".")
        if not Path(source).is_dir():
            first = f"is neither a folder here nor a model that the hub gives us ({first})"
        raise ModelError(source, first, GIVE_MODEL) from error
