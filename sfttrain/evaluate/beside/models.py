"""A model that is judged: a run, a folder or a hub id, with its adapter if it has one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from sftdata.errors import ModelError, first_line
from sfttrain.check.files import check_context, check_ids, check_tokenizer, context_of
from sfttrain.check.findings import raise_first_fail
from sfttrain.config import LoraSettings, TrainConfig, parse_config
from sfttrain.data import Shards
from sfttrain.evaluate.asked import Asked
from sfttrain.hardware import pick_dtype
from sfttrain.model import load_model, read_model_config
from sfttrain.run_folder import ADAPTER_CONFIG
from sfttrain.summary import RUN_JSON, read_run, settings_of_run


class Given(NamedTuple):
    """What was given as a model."""

    name: str
    base: str  # the model whose weights are loaded; another one where `name` is an adapter
    is_adapter: bool


def read_given(name: str) -> Given:
    """A model by its name. Raises ModelError for a run without a model, and for an adapter that names no base."""
    folder = Path(name)
    adapter, run = folder / ADAPTER_CONFIG, run_settings(name)
    if not adapter.is_file():
        if run is not None and not (folder / "config.json").is_file():
            raise ModelError(name, "is a run that has saved no model yet", "continue it with resume=true")
        return Given(name, name, False)
    base = run.get("model") if run is not None else None
    try:
        base = base or json.loads(adapter.read_bytes())["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(str(adapter), "does not say which model it is for", "restore it, or train again") from error
    return Given(name, str(base), True)


def run_settings(name: str) -> dict[str, Any] | None:
    """The settings of the run in a folder; None where no run is. Raises ConfigError where run.json is damaged."""
    folder = Path(name)
    return settings_of_run(folder, read_run(folder)) if (folder / RUN_JSON).is_file() else None


def check_context_of(given: Given, shards: Shards, split: str, asked: Asked, *, trust_remote_code: bool) -> None:
    """Raise ModelError where a sample of the split is longer than the model's context, and SourceError where a prompt
    fills it. The weights are not read.
    """
    config = _config(given, shards, trust_remote_code=trust_remote_code)
    model = read_model_config(config)
    raise_first_fail([check_context(config, shards, model, split)])
    asked.check_room(given.base, context_of(model.get_text_config()))


def load_given(given: Given, shards: Shards, *, dtype: str, trust_remote_code: bool) -> Any:
    """The model, ready to be judged, on the GPU where there is one.

    Raises ModelError where it cannot be loaded, its adapter does not fit, or its tokenizer is not that of the shards.
    """
    import torch

    dtype = pick_dtype(dtype)
    config = _config(given, shards, dtype=dtype, trust_remote_code=trust_remote_code)
    raise_first_fail([check_tokenizer(config, shards), check_ids(config, shards, read_model_config(config))])
    # Frozen weights are loaded in the compute dtype.
    frozen = config.model_copy(update={"lora": LoraSettings.model_validate({})})
    model: Any = load_model(frozen, dtype, None)
    if given.is_adapter:
        try:
            model.load_adapter(given.name)
        except Exception as error:  # peft and torch raise many types for weights that do not fit
            what = f"does not fit {given.base} ({first_line(error)[:200]})"
            raise ModelError(given.name, what, "give the folder of a run, or a model that is merged") from error
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _config(given: Given, shards: Shards, **settings: Any) -> TrainConfig:
    """The settings with which the model is read."""
    return parse_config({"shards": str(shards.path), "model": given.base, "out": "sfttrain-eval", **settings})
