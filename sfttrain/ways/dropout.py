"""Dropout by kind, under the names that the configs of models have for it."""

from __future__ import annotations

from typing import Any

from sftdata.errors import ConfigError
from sfttrain.config import DropoutSettings

NAMES = {
    "residual": ("resid_pdrop", "resid_dropout", "residual_dropout", "hidden_dropout", "dropout"),
    "attention": ("attn_pdrop", "attention_dropout", "attention_probs_dropout_prob"),
    "embedding": ("embd_pdrop", "embed_dropout", "embedding_dropout"),
}


def set_dropout(model: Any, settings: DropoutSettings | None) -> None:
    """Write the dropout of the settings into the config of a model, before it is built.

    Raises ConfigError where the config has no such dropout, naming it.
    """
    if settings is None:
        return
    text = model.get_text_config()
    for kind, names in NAMES.items():
        share = getattr(settings, kind)
        if share is None:
            continue
        name = next((name for name in names if hasattr(text, name)), None)
        if name is not None:
            setattr(text, name, share)
        elif share:
            has = sorted(other for other, known in NAMES.items() if any(hasattr(text, one) for one in known))
            what = f"{type(text).__name__} has no {kind} dropout, so {share:g} would do nothing"
            instead = f"; this model has {' and '.join(has)} dropout" if has else ""
            raise ConfigError(f"dropout.{kind}", what, f"set dropout.{kind}=0{instead}")
