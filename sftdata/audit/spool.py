"""The texts that are compared with each other, and their signatures, in a scratch folder instead of in memory."""

from __future__ import annotations

from array import array
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from sftdata.curate.near import NUM_HASHES, NearSettings, Verdict, find_near_duplicates, ranks, sign

BATCH, BATCH_CHARS = 1024, 8 << 20  # texts signed at once, and characters of them, about

Ints = npt.NDArray[np.int64]


class Spool:
    """Texts, numbered from 0. Memory: 17 bytes a text."""

    def __init__(self, folder: Path, settings: NearSettings) -> None:
        self.settings = settings
        self._texts = open(folder / "texts", "w+b")  # noqa: SIM115 - closed by __exit__
        self._signatures = open(folder / "signatures", "w+b")  # noqa: SIM115
        self._ends = array("Q", [0])
        self._signed = bytearray()
        self._answer_chars = array("Q")
        self._batch: list[str] = []
        self._batch_chars = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._texts.close()
        self._signatures.close()

    def add(self, text: str, num_answer_chars: int) -> None:
        """Take the next text."""
        self._ends.append(self._ends[-1] + self._texts.write(text.encode()))
        self._answer_chars.append(num_answer_chars)
        self._batch.append(text)
        self._batch_chars += len(text)
        if len(self._batch) == BATCH or self._batch_chars > BATCH_CHARS:
            self._sign()

    def text(self, number: int) -> str:
        """A text that was taken."""
        start, end = self._ends[number], self._ends[number + 1]
        self._texts.seek(start)
        return self._texts.read(end - start).decode()

    def compare(self, skip: npt.NDArray[np.bool_]) -> Verdict:
        """Which texts are near-duplicates of which, those in `skip` left out. Called last, with one text or more."""
        self._sign()
        self._signatures.flush()
        signatures = np.memmap(self._signatures, np.uint16, "r", shape=(len(self._signed), NUM_HASHES))
        preference = ranks(self.settings.keep, np.array(self._answer_chars, np.int64))
        signed = np.frombuffer(bytes(self._signed), np.bool_)
        return find_near_duplicates(signatures, signed, preference[~skip[preference]], self._fetch, self.settings)

    def _fetch(self, rows: Ints) -> list[str]:
        return [self.text(row) for row in rows.tolist()]

    def _sign(self) -> None:
        """Sign the texts that wait for it."""
        if self._batch:
            signatures, signed = sign(self._batch, self.settings.shingle_words)
            self._signatures.write(signatures.tobytes())
            self._signed += signed.tobytes()
            self._batch, self._batch_chars = [], 0
