"""NEFTune: uniform noise on the embeddings while training (Jain et al. 2023, arXiv 2310.05914). Imports torch.

The paper scales the noise by alpha / sqrt(L d), with L the length of the sample and d the width of the embedding.
transformers' own hook takes the length of the row: in a packed row of 16 samples, a quarter of the noise. Here each
token gets that of its own sample.
"""

from __future__ import annotations

from typing import Any

import torch


def add_noise(model: Any, alpha: float) -> None:
    """Have the embeddings of a model add noise in training mode. Validation and the saved weights have none."""
    given: dict[str, Any] = {}

    def remember(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        given["position_ids"] = kwargs.get("position_ids")

    def disturb(module: Any, args: Any, output: Any) -> Any:
        if not module.training:
            return output
        lengths = sample_lengths(given.get("position_ids"), output)
        bounds = alpha / (lengths * output.shape[-1]).sqrt()
        return output + (torch.rand_like(output) * 2 - 1) * bounds.unsqueeze(-1).to(output.dtype)

    model.register_forward_pre_hook(remember, with_kwargs=True)
    model.get_input_embeddings().register_forward_hook(disturb)


def sample_lengths(position_ids: Any, embeddings: Any) -> Any:
    """For each token, the length of its sample: positions begin anew with each. Without positions, that of the row."""
    rows, length = embeddings.shape[:2]
    if position_ids is None or tuple(position_ids.shape) != (rows, length):
        return torch.full((rows, length), float(length), device=embeddings.device)
    begins = (position_ids == 0).long()
    begins[:, 0] = 1
    samples = begins.flatten().cumsum(0) - 1
    return torch.bincount(samples)[samples].view(rows, length).float()
