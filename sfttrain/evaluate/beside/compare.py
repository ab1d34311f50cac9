"""`sfttrain eval`: figures and answers of a model, beside those of another one. Imports torch and transformers."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError, DatasetError, ModelError
from sfttrain.data import VALIDATION, Shards, open_shards
from sfttrain.evaluate.answers import Answering
from sfttrain.evaluate.asked import read_asked
from sfttrain.evaluate.beside.models import Given, check_context_of, load_given, read_given
from sfttrain.evaluate.beside.result import Answer, Comparison, Judged, shown_name
from sfttrain.evaluate.places import Places, load_places
from sfttrain.evaluate.scores import evaluate
from sfttrain.evaluate.settings import EvaluateSettings

Say = Callable[[str], None]


def compare(
    model: str,
    shards: str | Path,
    *,
    against: str | None = None,
    settings: EvaluateSettings | None = None,
    split: str = VALIDATION,
    seed: int = 0,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    on_step: Say = lambda text: None,
) -> Comparison:
    """Judge a model on a split of shards, and on the prompts of the settings; `against` is judged first, as it is.

    Raises SftDataError for what a user can put right: shards without that split, a model that cannot be loaded, has
    another tokenizer or a loss that is not a number, prompts or checks that cannot be used. All of it but the weights
    is looked at before a model is loaded.
    """
    opened = open_shards(shards)
    rows = opened.rows(split)
    if rows is None:
        has = "prepare it with split.validation, or give --split train"
        raise ConfigError(str(shards), f"has no {split} split", has)
    given = [read_given(name) for name in (against, model) if name is not None]
    asked = read_asked(settings or EvaluateSettings.model_validate({}), opened)
    for one in given:
        check_context_of(one, opened, split, asked, trust_remote_code=trust_remote_code)
    answering = Answering(asked, opened, seed)
    places = load_places(opened, split)
    if not len(places.cells):
        raise DatasetError(
            str(shards), f"no token of its {split} split is trained", "look at it with `sftdata inspect`"
        )
    judged = []
    for one in given:
        on_step(f"judging {one.name}")
        judged.append(_judge(one, opened, rows, places, answering, dtype, trust_remote_code))
        gc.collect()  # one model in memory at a time
    return Comparison(shown_name(str(shards)), opened.manifest.dataset_hash, split, tuple(judged))


def _judge(
    given: Given,
    shards: Shards,
    rows: Any,
    places: Places,
    answering: Answering,
    dtype: str,
    trust_remote_code: bool,
) -> Judged:
    model = load_given(given, shards, dtype=dtype, trust_remote_code=trust_remote_code)
    figures = evaluate(model, rows, places)
    if not math.isfinite(figures["loss"]):
        what = f"has a loss of {figures['loss']} on these samples"
        raise ModelError(given.name, what, "set --dtype float32, or look at its weights")
    texts = answering.texts(model, answering.prompts)
    outcomes, tallies = answering.checked(texts)
    answers = [
        Answer(prompt.where, prompt.messages, prompt.reference, text, found)
        for prompt, text, found in zip(answering.prompts, texts, outcomes, strict=True)
    ]
    return Judged(shown_name(given.name), figures, tuple(answers), tuple(tallies))
