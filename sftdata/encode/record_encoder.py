"""Records -> encoded samples: the whole of encoding, one tokenizer and one template, in batches."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date as Date
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.encode.clean import strip_trailing_control
from sftdata.encode.encoded import Encoded, EncodedSample
from sftdata.encode.options import Backend, Overlong, TrainOn
from sftdata.encode.overlong import fits, split_windows, truncate
from sftdata.encode.proof.guarded import GuardedBatch
from sftdata.encode.proof.masks import MaskProver
from sftdata.encode.proof.shapes import ShapeProver
from sftdata.encode.proof.turns import Refusal
from sftdata.encode.template.load import load_template
from sftdata.encode.template.messages import trained_turns
from sftdata.encode.template.probes import TemplateProbes
from sftdata.encode.tokenizer.control import PRIVATE, guard_pipeline, private_name
from sftdata.encode.tokenizer.encoder import Encoder, Ids
from sftdata.encode.tokenizer.load import TokenizerFiles
from sftdata.encode.tokenizer.vocabulary import Vocabulary
from sftdata.errors import TemplateError, TokenizerError
from sftdata.records.labels import IGNORE
from sftdata.records.record import Drop, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """All that decides how a record is encoded; small enough to send to a worker, complete enough to be a cache key."""

    files: TokenizerFiles
    template: str = "auto"
    date: str
    train_on: TrainOn = "all"
    overlong: Overlong = "drop"
    seq_len: int | None = None  # needed where overlong is not "drop"
    strip_trailing_control: bool = False
    backend: Backend | None = None  # None: see Encoder
    guarded: str | None = None  # None: made from the files
    tried_later: bool = False  # see Encoder


class RecordEncoder:
    """Encodes records of one run. Raises TemplateError or TokenizerError where nothing could be encoded at all."""

    def __init__(self, settings: EncodeSettings) -> None:
        self.settings = settings
        self.template = load_template(
            settings.template,
            own=settings.files.chat_templates,
            special_tokens=settings.files.special_tokens,
            today=Date.fromisoformat(settings.date),
        )
        self.probes = TemplateProbes(self.template, settings.files)
        self._provers: dict[bytes, ShapeProver] = {}
        self._met: set[bytes] = set()  # the keys of the provers that the last batch needed
        self.tally: Counter[str] = Counter()  # what was done to records, see `encode`

    @cached_property
    def guarded(self) -> str:
        """The guarded tokenizer.json (see control.py)."""
        return self.settings.guarded or guard_pipeline(self.settings.files, self.probes.control)

    @cached_property
    def backend(self) -> Backend:
        """The encoder in use."""
        return self.encoder.backend

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What the tokenizer says of its tokens."""
        return Vocabulary(self.settings.files.pipeline)

    @cached_property
    def encoder(self) -> Encoder:
        """The guarded tokenizer."""
        names = {private_name(id_): id_ for id_ in self.probes.control.ids}
        return Encoder(self.guarded, self.settings.backend, names, tried_later=self.settings.tried_later)

    def shared(self) -> EncodeSettings:
        """The settings with what has been found out already, for workers that encode the same way."""
        return replace(self.settings, guarded=self.guarded)

    def id_of(self, name: str) -> int | None:
        """The id of one of the tokenizer's named tokens, such as eos_token."""
        text = self.settings.files.special_tokens.get(name)
        if text is None:
            return None
        found = self.probes.control.id_of(text)
        return self.encoder.token_to_id(text) if found is None else found

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that may end a trained run: the template's end-of-turn tokens, and EOS for records of plain text."""
        eos = self.id_of("eos_token")
        return tuple(sorted({*self.probes.end_ids, *(() if eos is None else (eos,))}))

    def controls_in(self, ids: Ids) -> npt.NDArray[np.int64]:
        """Where control tokens stand among ids."""
        return self._masks.controls_in(ids)

    @cached_property
    def _masks(self) -> MaskProver:
        return MaskProver(self.encoder, self.vocabulary, self.probes.control, self.end_ids, self.id_of("bos_token"))

    def check(self) -> None:
        """Raise TemplateError where the template cannot train any turn with this tokenizer."""
        refusal = self.probes.refusal
        if refusal is None and not self.probes.end_texts:
            refusal = "writes no end-of-turn token behind an answer: a model trained so would never stop"
        if refusal is not None:
            name = self.settings.template if self.settings.template != "auto" else "the tokenizer's chat template"
            raise TemplateError(name, refusal, "name another template; `sftdata templates list` shows ours")

    def encode(self, records: Sequence[Record]) -> list[list[EncodedSample] | Drop]:
        """For each record its samples, or the reason why it has none."""
        return self.encode_batch(records).results()

    def encode_batch(self, records: Sequence[Record]) -> Encoded:
        """The samples of all records.

        `tally` counts stripped_answers, split_conversations, overlong_turns (those that no window held) and
        cut_answers.
        """
        self._met.clear()
        if self.settings.strip_trailing_control:
            records = [self._stripped(record) for record in records]
        encoded = self._encode_batch(records)
        seq_len = self.settings.seq_len
        if self.settings.overlong == "drop" or seq_len is None or (np.diff(encoded.offsets) <= seq_len).all():
            return encoded
        results = enumerate(encoded.results())
        return Encoded.of({number: self._fitted(records[number], result) for number, result in results})

    def _stripped(self, record: Record) -> Record:
        clean = strip_trailing_control(record, self.probes.control)
        changed = sum(a is not b for a, b in zip(record.messages, clean.messages, strict=True))
        self.tally["stripped_answers"] += changed
        return clean

    def _fitted(self, record: Record, result: list[EncodedSample] | Drop) -> list[EncodedSample] | Drop:
        """The samples of a record brought to seq_len as `overlong` says. What does not fit stays as it is."""
        seq_len = self.settings.seq_len
        if isinstance(result, Drop) or seq_len is None or fits(result, seq_len):
            return result
        if self.settings.overlong == "truncate":
            cut = [shorter for sample in result if (shorter := truncate(sample, seq_len)) is not None]
            if len(cut) < len(result):
                return result
            self.tally["cut_answers"] += sum(bool(np.any(sample.labels[seq_len:] != IGNORE)) for sample in result)
            return cut
        if record.text is not None:
            return result
        trained = trained_turns(record, self.settings.train_on)
        samples, lost = split_windows(
            record, trained, seq_len, lambda window: self._encode_batch([window]).results()[0]
        )
        if not samples:
            return result
        self.tally["split_conversations"] += 1
        self.tally["overlong_turns"] += len(lost)
        return samples

    def _encode_batch(self, records: Sequence[Record]) -> Encoded:
        """All records in one batch, so that encoding is one call."""
        texts: dict[int, list[EncodedSample] | Drop] = {}
        drops: dict[int, Drop] = {}
        proven = GuardedBatch()
        plain_prover = self._plain_prover
        for number, record in enumerate(records):
            if record.text is not None:
                texts[number] = self._encode_text(record.text)
                continue
            try:
                prover, kwargs = plain_prover, record.template_kwargs
                if kwargs and trained_turns(record, self.settings.train_on):
                    prover = self._prover(kwargs)
                prover.add_samples(record, proven, number)
            except Refusal as refusal:
                drops[number] = refusal.drop
        encoded = self._masks.encode(proven)
        encoded = encoded._replace(drops={**encoded.drops, **drops})
        return Encoded.of({**texts, **encoded.by_record()}) if texts else encoded

    def _prover(self, kwargs: Mapping[str, Any]) -> ShapeProver:
        """The prover for these template arguments; what a template does may depend on them."""
        key = json.dumps(kwargs, sort_keys=True, ensure_ascii=False).encode()
        if key not in self._provers:
            probes = TemplateProbes(self.template, self.settings.files, kwargs)
            self._provers[key] = ShapeProver(probes, self.settings.train_on)
        self._met.add(key)
        return self._provers[key]

    @cached_property
    def _plain_prover(self) -> ShapeProver:
        """The prover for no template arguments."""
        return ShapeProver(self.probes, self.settings.train_on)

    def generation_prompts(self) -> list[tuple[int, ...]]:
        """Ids of what the template writes between the last message and a completion in the last batch, longest first.

        Where such a text does not begin with a control token, its first id is left out: it may merge with the text
        before it.
        """
        every = [self.probes, *(self._provers[key].probes for key in sorted(self._met))]
        texts = dict.fromkeys(text for probes in every for text in probes.generation_prompts)
        encoded = self.encoder.encode_each(list(texts))
        found = {
            tuple((ids if text.startswith(PRIVATE) else ids[1:]).tolist())
            for text, ids in zip(texts, encoded, strict=True)
        }
        return sorted(found - {()}, key=lambda ids: (-len(ids), ids))

    def prompts_before(
        self, ids: Ids, starts: npt.NDArray[np.int64], sample_starts: npt.NDArray[np.int64]
    ) -> set[tuple[int, ...]]:
        """The generation prompts that stand directly before trained runs, for runs and their samples' starts in `ids`.

        Where none does (the token before straddles it), the one id before the run stands for it: no message's text
        is kept.
        """
        seen: set[tuple[int, ...]] = set()
        left = np.ones(len(starts), bool)
        for prompt in self.generation_prompts():
            match = left & (starts - sample_starts >= len(prompt))
            for back, id_ in enumerate(reversed(prompt), 1):
                match &= ids[np.maximum(starts - back, 0)] == id_
            if match.any():
                seen.add(prompt)
                left &= ~match
        seen.update((id_,) for id_ in np.unique(ids[starts[left] - 1]).tolist())
        return seen

    def _encode_text(self, text: str) -> list[EncodedSample] | Drop:
        """Plain text, trained on whole: BOS where the tokenizer has one, the text, EOS. Nothing predicts the first."""
        eos, bos = self.id_of("eos_token"), self.id_of("bos_token")
        if eos is None:
            raise TokenizerError(self.settings.files.source, "has no eos_token", "format: text needs one to end a text")
        if PRIVATE in text:
            return Drop("unproven_mask", "its text holds the private name of a control token")
        body = self.encoder.encode([text])[0]
        head = np.array([] if bos is None or bos == eos else [bos], np.int32)
        ids = np.concatenate([head, body, np.array([eos], np.int32)])
        labels = ids.copy()
        labels[0] = IGNORE
        return [EncodedSample(ids, labels, (0,))]

    def decode(self, ids: Sequence[int]) -> str:
        """What ids say, control tokens included, for people to read."""
        if self.vocabulary.token_bytes is not None:
            return self.vocabulary.says(np.array(ids, np.int32)).decode("utf-8", "replace")
        from tokenizers import Tokenizer

        text: str = Tokenizer.from_buffer(self.settings.files.json).decode(list(ids), skip_special_tokens=False)
        return text
