"""Embeddings: vectors written by hand, and a real sentence-transformers model with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sftdata.curate.duplicates import embedding
from sftdata.curate.duplicates.embedding import SentenceEncoder, embed, require_encoder
from sftdata.errors import ConfigError

TEXTS = ["red", "the red train leaves at nine", "blue", "a train, a train, a red train and a blue one", "the sea"]


class Recorder:
    """Gives every text the vector (3, 4), and `zero` a zero vector; records the texts it is given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.texts += texts
        return np.array([[3, 4] if text != "zero" else [0, 0] for text in texts], np.float32)


def test_vectors_have_length_one_and_blank_texts_none():
    vectors, embedded = embed(["a", " ", "zero", "b"], Recorder())
    assert vectors[0].tolist() == pytest.approx([0.6, 0.8])
    assert embedded.tolist() == [True, False, False, True]


def test_equal_texts_are_encoded_once_and_no_texts_at_all_are_not():
    encoder = Recorder()
    vectors, embedded = embed(["a", "b", "a"], encoder)
    assert (encoder.texts, vectors.shape, embedded.tolist()) == (["a", "b"], (3, 2), [True] * 3)
    assert [len(part) for part in embed([], encoder)] == [0, 0]
    assert encoder.texts == ["a", "b"]


def test_a_missing_model_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"dedup\.semantic\.model: .*nowhere is not a folder"):
        require_encoder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"holds no modules\.json.*name the folder of a sentence-transformers model"):
        require_encoder(tmp_path)


def test_an_extra_that_is_not_installed_is_an_error_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "modules.json").write_text("[]")
    monkeypatch.setattr(embedding, "PACKAGES", ("numpy", "a_package_that_does_not_exist"))
    with pytest.raises(ConfigError, match=r"pip install 'sftdata\[semantic\]'"):
        require_encoder(tmp_path)


def test_a_model_that_cannot_be_loaded_is_an_error_in_one_sentence(sentence_model: Path, tmp_path: Path):
    for name in ("modules.json", "model.safetensors"):
        folder = tmp_path / name
        folder.mkdir()
        for path in sentence_model.rglob("*"):
            if path.is_file():
                copy = folder / path.relative_to(sentence_model)
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(path.read_bytes())
        (folder / name).write_bytes(b"{")
        with pytest.raises(ConfigError, match="cannot be loaded") as caught:
            SentenceEncoder(folder)
        assert "\n" not in str(caught.value)


def test_a_vector_is_the_mean_of_the_models_last_layer_as_transformers_computes_it(sentence_model: Path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(sentence_model), AutoModel.from_pretrained(sentence_model).eval()
    vectors = SentenceEncoder(sentence_model).encode(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.no_grad():
            expected = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        assert np.allclose(vector, expected.numpy(), atol=1e-6)


def test_a_vector_depends_only_on_its_text(sentence_model: Path):
    import torch

    encoder = SentenceEncoder(sentence_model)
    used: set[int] = set()  # numbers of threads while the model runs
    encoder._model.register_forward_hook(lambda *_: used.add(torch.get_num_threads()))
    alone = {text: encoder.encode([text])[0].tobytes() for text in TEXTS}
    threads = torch.get_num_threads()
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            for order in (TEXTS, TEXTS[::-1], [*TEXTS, *TEXTS[1:3]]):
                vectors = encoder.encode(order)
                assert [vector.tobytes() for vector in vectors] == [alone[text] for text in order]
            assert (torch.get_num_threads(), used) == (number, {1})
    finally:
        torch.set_num_threads(threads)
