"""The encoder of a run, in whatever process it lives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from sftdata.encode.records import EncodeSettings, RecordEncoder
from sftdata.encode.request import BACKENDS, EncodingRequest, TokenizerFacts
from sftdata.encode.stage import Encode, some_texts
from sftdata.encode.templates import NO_TEMPLATE
from sftdata.encode.tokenizers import load_tokenizer
from sftdata.encoding import End
from sftdata.engines.base import Piece
from sftdata.engines.forked import run_forked
from sftdata.engines.jobs import run_job
from sftdata.store.files import write_bytes

if TYPE_CHECKING:
    from sftdata.engines.base import Engine
    from sftdata.engines.jobs import Done, Job


TRIED_PIECES = 64  # at least, where there are as many
Look = Callable[[Piece, Sequence[str]], pa.Table]


class EncodingHere:
    """The encoder that a request asks for, in this process. It is made when first used."""

    def __init__(self, request: EncodingRequest) -> None:
        self._request = request

    @cached_property
    def _encoder(self) -> RecordEncoder:
        encoder = RecordEncoder(encode_settings(self._request))
        if not self._request.is_plain_text:
            encoder.check()
        return encoder

    def check(self) -> None:
        """Raise TokenizerError where the tokenizer cannot be loaded, TemplateError where its template is of no use."""
        _ = self._encoder

    def stage(self) -> Encode:
        """The stage that encodes."""
        return Encode(self._encoder)

    def outline(self) -> tuple[str, Sequence[str], str]:
        """The stage's name, columns and key. Raises as `check`."""
        stage = self.stage()
        return stage.name, stage.columns, stage.key

    def load(self) -> None:
        """Load now what is otherwise loaded when the first record comes."""
        self._encoder.load()

    def use(self, encoder: str) -> None:
        """From now on encode with another library: one of BACKENDS."""
        self._encoder = RecordEncoder(replace(self._encoder.settings, backend=BACKENDS[encoder]))

    def results(self, size: int, jobs: Sequence[Job]) -> Iterator[tuple[int, Done]]:
        """What the stage makes of these jobs in `size` processes, as they are done, each with its number."""
        stage = self.stage()
        return run_forked(size, run_job, [(stage, job) for job in jobs])

    def begin_end(self, folder: Path, engine: Engine, rows: Sequence[Piece], dropped: pa.ChunkedArray) -> None:
        """See Encoding.begin_end. Here nothing happens before `end`."""
        self._end = partial(self.end_for, folder, rows, dropped, engine.look)

    def end(self) -> End:
        """See Encoding.end."""
        return self._end()

    def end_for(self, folder: Path, rows: Sequence[Piece], dropped: pa.ChunkedArray, look: Look = Piece.read) -> End:
        """What `end` gives, for whoever has no engine here."""
        agrees = self._agrees(look, rows, dropped)  # first: the files mean waiting for the disk
        template_sha256 = hashlib.sha256(self._encoder.template.source.encode()).hexdigest()
        return End(self._write_files(folder), self._facts(), template_sha256, agrees)

    def _agrees(self, look: Look, rows: Sequence[Piece], dropped: pa.ChunkedArray) -> bool:
        starts = np.cumsum([0, *(piece.num_rows for piece in rows)]).tolist()
        texts: list[str] = []
        for number in range(0, len(rows), max(1, len(rows) // TRIED_PIECES)):
            here = dropped.slice(starts[number], rows[number].num_rows).combine_chunks()
            texts += some_texts(look(rows[number], ["record"]), here)
        return self._encoder.encoder.agrees(texts)

    def _facts(self) -> TokenizerFacts:
        encoder = self._encoder
        return TokenizerFacts(
            sha256=encoder.settings.files.sha256,
            vocab_size=encoder.vocabulary.size,
            bos_id=encoder.id_of("bos_token"),
            eos_id=encoder.id_of("eos_token"),
            pad_id=encoder.id_of("pad_token"),
            end_of_turn_ids=encoder.end_ids,
            control_ids=tuple(sorted(encoder.facts.control.ids)),
        )

    def _write_files(self, folder: Path) -> list[tuple[str, int, str]]:
        files, template = self._encoder.settings.files, self._encoder.template
        config = json.dumps(files.config(), indent=2, ensure_ascii=False) + "\n"
        contents = {"tokenizer.json": files.json, "tokenizer_config.json": config.encode()}
        if template.source:
            contents["chat_template.jinja"] = template.source.encode()
        if template.tool_source is not None:
            contents["additional_chat_templates/tool_use.jinja"] = template.tool_source.encode()
        return [(name, len(data), write_bytes(folder / name, data)) for name, data in sorted(contents.items())]


def encode_settings(request: EncodingRequest) -> EncodeSettings:
    """What decides how records are encoded. Raises TokenizerError where the tokenizer cannot be loaded."""
    files = load_tokenizer(request.tokenizer, trust_remote_code=request.trust_remote_code)
    template = request.template
    if request.is_plain_text and template == "auto" and not files.chat_templates:
        template = NO_TEMPLATE
    return EncodeSettings(
        files=files,
        template=template,
        date=request.date,
        train_on=request.train_on,
        overlong=request.overlong,
        seq_len=request.seq_len,
        strip_trailing_control=request.strip_trailing_control,
        backend=BACKENDS[request.encoder],
        tried_later=True,
    )
