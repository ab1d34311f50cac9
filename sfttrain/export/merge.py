"""An adapter merged into the model that it was trained on, with a proof that both compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftdata.errors import ModelError, first_line
from sfttrain.export.source import Source
from sfttrain.model import load_model, read_model_config

if TYPE_CHECKING:
    import torch

PROBE_TOKENS = 64
TOLERANCE = 1e-3  # of logits in float32, as a share of the largest


def save_merged(source: Source, folder: Path) -> str:
    """Merge the adapter in float32 and save the whole model in the dtype of the base; the name of that dtype.

    Raises ModelError where the base cannot be loaded, the adapter does not fit it, or the merged model computes
    something else than base and adapter did.
    """
    import torch
    from peft import PeftModel

    config = source.config
    assert config.lora is not None
    stored = read_model_config(config).dtype or torch.float32
    lora = config.lora.model_copy(update={"quantize": "none"})
    plain = config.model_copy(update={"lora": lora, "dropout": None})
    base = load_model(plain, "float32", None)
    try:
        adapted = PeftModel.from_pretrained(base, str(source.path), trust_remote_code=False).eval()
    except Exception as error:  # peft and torch raise many types for weights that do not fit
        what = f"does not fit {config.model} ({first_line(error)[:200]})"
        raise ModelError(str(source.path), what, "give the model that it was trained on as --base") from error
    probe = torch.arange(PROBE_TOKENS).remainder(base.get_input_embeddings().num_embeddings)[None]
    before = _logits(adapted, probe)
    merged = adapted.merge_and_unload().eval()
    _check_same(source, before, _logits(merged, probe))
    if not config.trust_remote_code and hasattr(merged.config, "auto_map"):
        del merged.config.auto_map
    merged.to(stored).save_pretrained(str(folder))
    return str(stored).removeprefix("torch.")


def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    import torch

    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return logits


def _check_same(source: Source, before: torch.Tensor, after: torch.Tensor) -> None:
    """Raise ModelError where merged weights compute something else: an adapter on tied weights, above all."""
    difference, largest = float((before - after).abs().max()), float(before.abs().max())
    if not difference <= TOLERANCE * max(1.0, largest):
        what = f"merged, it computes something else: its logits differ by {difference:.2g}"
        raise ModelError(str(source.path), what, "export it without --merge")
