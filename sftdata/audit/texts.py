"""The texts to compare, with their signatures and embeddings, in files of a temporary folder instead of in memory.

Texts are numbered from 0.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.embedding import SentenceEncoder, embed
from sftdata.curate.duplicates.near import (
    NUM_HASHES,
    Verdict,
    answer_chars,
    find_near_duplicates,
    preference_order,
    sign_texts,
)
from sftdata.curate.duplicates.semantic import find_semantic_duplicates
from sftdata.curate.duplicates.settings import Keep, NearConfig, SemanticConfig
from sftdata.curate.words import ComparedText, Hashes, shingle_hashes, text_of
from sftdata.files.mapped import mapped_zeros
from sftdata.progress import Progress
from sftdata.records.faults import fault_text, is_fault
from sftdata.records.record import Record

BATCH, BATCH_CHARS = 1024, 8 << 20  # texts per batch of signatures, and about how many characters
EMBEDDED_AT_ONCE = 64  # texts per progress update

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Texts:
    """The texts of records and the lengths of their answers. Memory: 16 bytes per text."""

    def __init__(self, path: Path, on: ComparedText) -> None:
        self._on = on
        self._texts = open(path, "w+b")  # noqa: SIM115 - closed by close
        self._ends = array("Q", [0])
        self._answer_chars = array("Q")

    def close(self) -> None:
        """Close the files."""
        self._texts.close()

    def __len__(self) -> int:
        return len(self._answer_chars)

    def add(self, record: Record) -> str:
        """Add the next record and return its text."""
        text = text_of(record, self._on)
        self._ends.append(self._ends[-1] + self._texts.write(text.encode()))
        self._answer_chars.append(answer_chars(record))
        return text

    def text(self, number: int) -> str:
        """A text that was added."""
        start, end = self._ends[number], self._ends[number + 1]
        self._texts.seek(start)
        return self._texts.read(end - start).decode()

    def preference(self, keep: Keep, skip: Bools) -> Ints:
        """The texts from most to least preferred, without those in `skip`."""
        order = preference_order(keep, np.array(self._answer_chars, np.int64))
        return order[~skip[order]]


class NearTexts(Texts):
    """Texts among which to find near-duplicates. Memory: 17 bytes per text."""

    def __init__(self, folder: Path, settings: NearConfig) -> None:
        super().__init__(folder / "texts", settings.on)
        self._settings = settings
        self._signatures = open(folder / "signatures", "w+b")  # noqa: SIM115 - closed by close
        self._signed = bytearray()
        self._batch: list[str] = []
        self._batch_chars = 0
        self.faults: dict[int, str] = {}  # of this program, by the number of the text: see faults.py

    def close(self) -> None:
        """See Texts.close."""
        self._signatures.close()
        super().close()

    def add(self, record: Record) -> str:
        """See Texts.add."""
        text = super().add(record)
        self._batch.append(text)
        self._batch_chars += len(text)
        if len(self._batch) == BATCH or self._batch_chars > BATCH_CHARS:
            self._sign()
        return text

    def compare(self, skip: Bools) -> Verdict:
        """Find near-duplicates, ignoring the texts in `skip`. Call this last, with at least one text."""
        self._sign()
        self._signatures.flush()
        signatures = np.memmap(self._signatures, np.uint16, "r", shape=(len(self), NUM_HASHES))
        signed = np.frombuffer(bytes(self._signed), np.bool_)
        preference = self.preference(self._settings.keep, skip)
        return find_near_duplicates(signatures, signed, preference, self._fetch, self._settings)

    def _fetch(self, rows: Ints) -> tuple[Hashes, Ints]:
        return shingle_hashes([self.text(row) for row in rows.tolist()], self._settings.shingle_words)

    def _sign(self) -> None:
        """Compute the signatures of the current batch."""
        texts, self._batch, self._batch_chars = self._batch, [], 0
        if not texts:
            return
        try:
            self._write_signatures(texts)
        except BaseException as error:
            if not is_fault(error):
                raise
            for number, text in enumerate(texts, len(self) - len(texts)):
                self._sign_alone(number, text)

    def _sign_alone(self, number: int, text: str) -> None:
        """Compute the signature of one text; none if sftdata fails on it, and then the fault is kept."""
        try:
            self._write_signatures([text])
        except BaseException as error:
            if not is_fault(error):
                raise
            self.faults[number] = fault_text(error)
            self._signatures.write(bytes(NUM_HASHES * np.dtype(np.uint16).itemsize))
            self._signed += b"\0"

    def _write_signatures(self, texts: list[str]) -> None:
        signed = sign_texts(texts, self._settings.shingle_words)
        self._signatures.write(signed.signatures.tobytes())
        self._signed += signed.is_signed.tobytes()


class SemanticTexts(Texts):
    """Texts among which to find semantic duplicates. `settings.model` is a resolved path."""

    def __init__(self, folder: Path, settings: SemanticConfig) -> None:
        super().__init__(folder / "meanings", settings.on)
        self._settings = settings
        self._file = folder / "embeddings"

    def compare(self, skip: Bools, progress: Progress) -> Verdict:
        """Find semantic duplicates, ignoring the texts in `skip`. Call this last, with at least one text.

        Raises ConfigError if the model cannot be loaded, and OutputError where the disk has no room for the embeddings.
        """
        embedded = np.zeros(len(self), np.bool_)
        vectors = np.empty((len(self), 0), np.float32)
        for rows, own, has_one in self._embedded(np.flatnonzero(~skip), progress):
            if vectors.shape[1] == 0:
                vectors = mapped_zeros(self._file, "float32", (len(self), own.shape[1]))
            vectors[rows], embedded[rows] = own, has_one
        preference = self.preference(self._settings.keep, skip)
        return find_semantic_duplicates(vectors, embedded, preference, self._settings.threshold)

    def _embedded(self, wanted: Ints, progress: Progress) -> Iterator[tuple[Ints, npt.NDArray[np.float32], Bools]]:
        """Batches of the wanted texts: their numbers, their embeddings, and which of them have one."""
        encoder = SentenceEncoder(self._settings.model)
        parts = [wanted[start : start + EMBEDDED_AT_ONCE] for start in range(0, len(wanted), EMBEDDED_AT_ONCE)]
        progress.start("embed", len(parts))
        for rows in parts:
            yield rows, *embed([self.text(row) for row in rows.tolist()], encoder)
            progress.advance(len(rows), 0)
