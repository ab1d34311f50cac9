"""Semantic duplicates: records that say the same in other words, by the cosine of their texts' embeddings.

Off unless asked for: which texts mean the same is the encoder's opinion, and no second look proves it, as the true
Jaccard similarity does for near-duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from sftdata.curate.near import Verdict
from sftdata.curate.words import On
from sftdata.errors import ConfigError

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class SemanticSettings:
    """Which encoder, and how close two texts must be."""

    model: str  # the folder of a sentence-transformers model
    threshold: float = 0.95  # cosine similarity
    on: On = "prompt"
    keep: Literal["first", "longest_answer"] = "first"


class Encoder(Protocol):
    """What turns texts into vectors. A text's vector must depend on the text alone."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """One row for every text, [len(texts), dimensions]."""
        ...


class SentenceEncoder:
    """A sentence-transformers model in a local folder, on the CPU. Texts longer than the model reads are cut."""

    def __init__(self, folder: str | Path) -> None:
        if not Path(folder).is_dir():
            raise ConfigError("dedup.semantic.model", f"{folder} is not a folder", "name one that holds the model")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ConfigError(
                "dedup.semantic", "needs packages that are not installed", "pip install 'sftdata[semantic]'"
            ) from error
        self._model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def encode(self, texts: Sequence[str]) -> Floats:
        """One row for every text."""
        vectors = self._model.encode(list(texts), convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)


def embed(texts: Sequence[str], encoder: Encoder) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The texts' vectors, made to have length 1, and which texts have one: those that are not blank, and whose vector
    is not zero.
    """
    vectors = np.array(encoder.encode(texts), np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True) if len(texts) else np.empty((0, 1), np.float32)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    blank = np.array([not text.strip() for text in texts], bool)
    return vectors, ~blank & (lengths[:, 0] > 0)


def find_semantic_duplicates(
    vectors: Floats, embedded: npt.NDArray[np.bool_], preference: Ints, threshold: float
) -> Verdict:
    """Which rows are dropped as semantic duplicates, and of which kept row.

    Rows are taken in the order of `preference`: a row is dropped where its cosine to a row kept before it reaches the
    threshold, for the one it is closest to. Every kept row is looked at (faiss IndexFlatIP), so the time grows with
    rows times kept rows. A cluster holds the kept rows that some dropped row is close to, and that row.

    Memory: the vectors of the kept rows, and the pairs of _ROWS_AT_ONCE rows with the kept rows close to them.
    """
    import faiss

    nodes = preference[embedded[preference]]
    rows = np.arange(len(vectors))
    verdict = Verdict(np.full(len(rows), -1, np.int64), np.full(len(rows), np.nan), rows)
    index = faiss.IndexFlatIP(vectors.shape[1])
    kept: list[int] = []  # rows, in the order in which the index holds them
    for start in range(0, len(nodes), _ROWS_AT_ONCE):
        block = nodes[start : start + _ROWS_AT_ONCE]
        own = np.ascontiguousarray(vectors[block])
        limits, cosines, places = index.range_search(own, float(np.nextafter(np.float32(threshold), np.float32(-1))))
        among = own @ own.T
        fresh: list[int] = []  # places in the block of rows that are kept
        for place, row in enumerate(block.tolist()):
            part = slice(int(limits[place]), int(limits[place + 1]))
            inside = [other for other in fresh if among[place, other] >= threshold]
            close = [kept[other] for other in places[part].tolist()] + block[inside].tolist()
            if not close:
                fresh.append(place)
                continue
            values = cosines[part].tolist() + among[place, inside].tolist()
            best = max(range(len(close)), key=lambda at: (values[at], -at))
            verdict.duplicate_of[row], verdict.similarity[row] = close[best], min(values[best], 1.0)
            _unite(verdict.cluster, [*close, row])
        index.add(np.ascontiguousarray(own[fresh]))
        kept.extend(block[fresh].tolist())
    while True:
        above = verdict.cluster[verdict.cluster]
        if np.array_equal(above, verdict.cluster):
            return verdict
        verdict.cluster[:] = above


def _unite(cluster: Ints, rows: list[int]) -> None:
    """Make one cluster of the rows' clusters."""
    tops = []
    for row in rows:
        while cluster[row] != row:
            row = int(cluster[row])
        tops.append(row)
    cluster[tops] = min(tops)
