"""Records -> encoded samples: the whole of encoding, one tokenizer and one template, in batches."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from functools import cached_property
from typing import Any

import numpy as np

from sftdata.encode.chat import TrainOn, strings_of, trained_turns
from sftdata.encode.control import GuardedTokenizer, private_name
from sftdata.encode.encoder import Backend, Encoder, choose_backend
from sftdata.encode.facts import TemplateFacts
from sftdata.encode.masks import IGNORE, EncodedSample, MaskProver
from sftdata.encode.shapes import GuardedSample, ShapeProver
from sftdata.encode.templates import load_template
from sftdata.encode.tokenizers import TokenizerFiles
from sftdata.encode.turns import Refusal
from sftdata.encode.vocabulary import Vocabulary
from sftdata.errors import TemplateError, TokenizerError
from sftdata.records import Drop, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """All that decides how a record is encoded; small enough to send to a worker, complete enough to be a cache key."""

    files: TokenizerFiles
    template: str = "auto"
    date: str
    train_on: TrainOn = "all"
    backend: Backend | None = None  # None: chosen by `choose_backend`


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
        self.facts = TemplateFacts(self.template, settings.files)
        self._provers: dict[bytes, ShapeProver] = {}

    @cached_property
    def guarded(self) -> str:
        """The guarded tokenizer.json (see control.py)."""
        return GuardedTokenizer(self.settings.files, self.facts.control).json

    @cached_property
    def backend(self) -> Backend:
        """The encoder in use."""
        return self.settings.backend or choose_backend(self.guarded)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What the tokenizer says of its tokens."""
        return Vocabulary(self.settings.files.json)

    @cached_property
    def encoder(self) -> Encoder:
        """The guarded tokenizer, loaded."""
        names = {private_name(id_): id_ for id_ in self.facts.control.ids}
        return Encoder(self.guarded, self.backend, names)

    def id_of(self, name: str) -> int | None:
        """The id of one of the tokenizer's named tokens, such as eos_token."""
        text = self.settings.files.special_tokens.get(name)
        if text is None:
            return None
        found = self.facts.control.id_of(text)
        return self.encoder.token_to_id(text) if found is None else found

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that may end a trained run: the template's end-of-turn tokens, and EOS for records of plain text."""
        eos = self.id_of("eos_token")
        return tuple(sorted({*self.facts.end_ids, *(() if eos is None else (eos,))}))

    @cached_property
    def _masks(self) -> MaskProver:
        return MaskProver(self.encoder, self.vocabulary, self.facts.control, self.end_ids, self.id_of("bos_token"))

    def check(self) -> None:
        """Raise TemplateError where the template cannot train any turn with this tokenizer."""
        if self.facts.refusal is not None:
            name = self.settings.template if self.settings.template != "auto" else "the tokenizer's chat template"
            raise TemplateError(name, self.facts.refusal, "name another template: or see `sftdata templates list`")

    def encode(self, records: Sequence[Record]) -> list[list[EncodedSample] | Drop]:
        """For each record its samples, or the reason why it has none. One batch, so that encoding is one call."""
        results: list[list[EncodedSample] | Drop | None] = []
        waiting: list[list[GuardedSample]] = []
        for record in records:
            outcome = self._prove(record)
            if isinstance(outcome, Drop):
                results.append(outcome)
            elif outcome is None:
                results.append(self._encode_text(record.text or ""))
            else:
                results.append(None)
                waiting.append(outcome)
        encoded = iter(self._masks.encode(waiting))
        return [next(encoded) if result is None else result for result in results]

    def _prove(self, record: Record) -> list[GuardedSample] | Drop | None:
        """The record's samples as text; None for a record of plain text, which no template touches."""
        if record.text is not None:
            return None
        trained = trained_turns(record.messages, self.settings.train_on)
        if not trained:
            return Drop("nothing_to_train", "no turn of it is to be trained")
        try:
            return self._prover(record.template_kwargs).samples(record, trained)
        except Refusal as refusal:
            return refusal.drop

    def _prover(self, kwargs: Mapping[str, Any] | None) -> ShapeProver:
        """The prover for these template arguments; what a template does may depend on them."""
        key = json.dumps(kwargs or {}, sort_keys=True, ensure_ascii=False).encode()
        if key not in self._provers:
            facts = self.facts if not kwargs else TemplateFacts(self.template, self.settings.files, kwargs)
            self._provers[key] = ShapeProver(facts)
        return self._provers[key]

    def _encode_text(self, text: str) -> list[EncodedSample] | Drop:
        """Plain text, trained on whole: BOS where the tokenizer has one, the text, EOS. Its first token has no prompt."""
        eos, bos = self.id_of("eos_token"), self.id_of("bos_token")
        if eos is None:
            raise TokenizerError(self.settings.files.source, "has no eos_token", "format: text needs one to end a text")
        if "\ue000sftdata:" in text:
            return Drop("unproven_mask", "its text holds the private name of a control token")
        body = self.encoder.encode([text])[0]
        head = np.array([] if bos is None or bos == eos else [bos], np.int32)
        ids = np.concatenate([head, body, np.array([eos], np.int32)])
        labels = ids.copy()
        labels[0] = IGNORE
        return [EncodedSample(ids, labels, (0,))]

    def control_hits(self, record: Record) -> Counter[tuple[str, str]]:
        """How often each control string stands in the record's text, by (string, role); tools count as `tools`."""
        hits: Counter[tuple[str, str]] = Counter()
        for message in record.messages:
            for text in strings_of(Record(messages=(message,))):
                hits.update((found, message.role) for found in self.facts.control.find(text))
        for text in strings_of(Record(tools=record.tools)):
            hits.update((found, "tools") for found in self.facts.control.find(text))
        return hits
