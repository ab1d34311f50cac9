"""Texts -> embeddings, by a model that the user names: vectors that are close if the texts mean the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sftdata.errors import ConfigError

Floats = npt.NDArray[np.float32]

PACKAGES = ("faiss", "sentence_transformers")  # from the extra `semantic`
TOOLS = ("sentence-transformers", "tokenizers", "torch", "transformers")  # their versions decide the vectors
_WHERE = "dedup.semantic.model"


class Encoder(Protocol):
    """Turns texts into vectors. The vector of a text must depend on that text alone."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """One row per text, [len(texts), dimensions]."""
        ...


class SentenceEncoder:
    """A sentence-transformers model in a local folder, on the CPU. Texts longer than the model's maximum are truncated.

    Texts go through the model one at a time and on one thread, so that neither the other texts of a batch (by padding)
    nor the number of cores change a bit of their vectors. On a CPU this costs nothing: with the sizes of
    all-MiniLM-L6-v2, 300 questions of GSM8K took 16.1 s on one thread one by one, and 16.0 s in batches of 32.
    Parallelism comes from processes.

    Raises ConfigError like `require_encoder`, and if the model cannot be loaded.
    """

    def __init__(self, folder: str | Path) -> None:
        require_encoder(folder)
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer

        try:
            with _no_progress_bars():
                self._model: Any = SentenceTransformer(
                    str(folder), device="cpu", local_files_only=True, trust_remote_code=False
                )
        except (OSError, ValueError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(_WHERE, f"{folder} cannot be loaded ({reason})", "download it again") from error

    def encode(self, texts: Sequence[str]) -> Floats:
        """One row per text."""
        with _one_thread():
            vectors = self._model.encode(list(texts), batch_size=1, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)


def require_encoder(folder: str | Path) -> None:
    """Raise ConfigError if the folder holds no sentence-transformers model, or the extra is not installed.

    Loads nothing: it takes no time, and does not import torch.
    """
    hint = "name the folder of a sentence-transformers model"
    if not Path(folder).is_dir():
        raise ConfigError(_WHERE, f"{folder} is not a folder", hint)
    if not (Path(folder) / "modules.json").is_file():
        raise ConfigError(_WHERE, f"{folder} holds no modules.json", hint)
    if any(find_spec(name) is None for name in PACKAGES):
        raise ConfigError("dedup.semantic", "needs packages that are not installed", "pip install 'sftdata[semantic]'")


def embed(texts: Sequence[str], encoder: Encoder) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The texts' vectors, normalized to length 1, and which texts have one: those that are not blank and whose vector
    is not zero. Equal texts are encoded once.
    """
    unique = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    if not unique:
        return np.empty((0, 0), np.float32), np.empty(0, np.bool_)
    vectors = np.array(encoder.encode(list(unique)), np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    embedded = (lengths[:, 0] > 0) & np.array([bool(text.strip()) for text in unique])
    rows = [unique[text] for text in texts]
    return vectors[rows], embedded[rows]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use only one thread of this process."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Turn off the progress bars of transformers while a model is loaded."""
    from transformers.utils import logging

    were_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_shown:
            logging.enable_progress_bar()
