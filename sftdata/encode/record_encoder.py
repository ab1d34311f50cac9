"""Records -> encoded samples, in batches, with one tokenizer and one chat template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date as Date
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.encode.call_ids import advice_on_ids, with_call_ids, with_made_ids
from sftdata.encode.encoded import EncodedBatch, EncodedSample
from sftdata.encode.options import (
    MAX_TURNS,
    Backend,
    LostContext,
    Overlong,
    Reasoning,
    SourceSettings,
    Thinking,
    ToolCallIds,
    ToolCalls,
    TrainOn,
)
from sftdata.encode.overlong import fits, split_text, split_windows, truncate
from sftdata.encode.proof.changed import add_changed
from sftdata.encode.proof.guarded_samples import GuardedBatch, Note
from sftdata.encode.proof.masks import MaskProver
from sftdata.encode.proof.shapes import TOO_MANY_TURNS
from sftdata.encode.provers import Provers
from sftdata.encode.stats import CHANGES, UNWRITTEN
from sftdata.encode.template.conversation import Refusal
from sftdata.encode.template.load import load_template
from sftdata.encode.template.messages import trained_turns
from sftdata.encode.template.probes import TemplateProbes
from sftdata.encode.template.thinking import arguments_read
from sftdata.encode.tokenizer.control import PRIVATE, guarded_tokenizer_json, private_name
from sftdata.encode.tokenizer.encoder import Encoder, Ids
from sftdata.encode.tokenizer.load import TokenizerFiles
from sftdata.encode.tokenizer.vocabulary import Vocabulary
from sftdata.errors import TemplateError, TokenizerError
from sftdata.records.end_tokens import EndTokens
from sftdata.records.labels import IGNORE
from sftdata.records.record import Drop, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """Everything that decides how a record is encoded. It is sent to workers, and determines the cache key."""

    files: TokenizerFiles
    template: str = "auto"
    date: str
    train_on: TrainOn = "all"
    overlong: Overlong = "drop"
    seq_len: int | None = None  # required unless overlong is "drop"
    lost_context: LostContext = "drop"
    max_turns: int = MAX_TURNS
    tool_call_ids: ToolCallIds = "keep"
    reasoning: Reasoning = "keep"
    tool_calls: ToolCalls = "keep"
    thinking: Thinking = "auto"
    train_empty_thinking: bool = False
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[SourceSettings, ...] = ()  # of those whose records are encoded, see `encode_batch`
    backend: Backend | None = None  # see Encoder
    guarded_tokenizer: str | None = None  # computed already, see guarded_tokenizer_json; None: computed from the files
    self_test: bool = True  # see Encoder


class RecordEncoder:
    """Encodes records. Raises TemplateError or TokenizerError if the template or the tokenizer cannot be used."""

    def __init__(self, settings: EncodeSettings) -> None:
        self.settings = settings
        self.template = load_template(
            settings.template,
            own=settings.files.chat_templates,
            special_tokens=settings.files.special_tokens,
            today=Date.fromisoformat(settings.date),
        )
        self._provers = Provers(self.template, settings)
        self.notes: Counter[Note] = Counter()  # what was met and done, see `encode_batch`
        self.left_out: dict[int, list[Drop]] = {}  # of the last batch: see `encode_batch`

    @cached_property
    def probes(self) -> TemplateProbes:
        """The probes of the template, with the template arguments of the run."""
        return self._provers.main

    @cached_property
    def guarded_tokenizer(self) -> str:
        """The guarded tokenizer.json (see tokenizer/control.py)."""
        return self.settings.guarded_tokenizer or guarded_tokenizer_json(self.settings.files, self.probes.control)

    @cached_property
    def backend(self) -> Backend:
        """The library that encodes."""
        return self.encoder.backend

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer's tokens."""
        return Vocabulary(self.settings.files.spec)

    @cached_property
    def encoder(self) -> Encoder:
        """The guarded tokenizer, ready to encode."""
        ids = {private_name(id_): id_ for id_ in self.probes.control.ids}
        return Encoder(self.guarded_tokenizer, self.settings.backend, ids, self_test=self.settings.self_test)

    def load(self) -> None:
        """Make what is made on first use. Raises what cannot be made, whichever records there are."""
        _ = self.encoder.token_to_id(""), self._masks, self._provers.ways  # the first loads the library's tokenizer

    def worker_settings(self) -> EncodeSettings:
        """The settings for encoders in workers, which need not compute the guarded tokenizer again."""
        return replace(self.settings, guarded_tokenizer=self.guarded_tokenizer)

    def id_of(self, name: str) -> int | None:
        """The id of a named special token, such as eos_token; None if the tokenizer does not have it."""
        text = self.settings.files.special_tokens.get(name)
        if text is None:
            return None
        found = self.probes.control.id_of(text)
        return self.encoder.token_to_id(text) if found is None else found

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """The ids that may end a trained run: the template's end-of-turn tokens, and EOS for records of plain text."""
        eos = self.id_of("eos_token")
        return tuple(sorted({*self.probes.end_ids, *(() if eos is None else (eos,))}))

    @cached_property
    def undeclared_ends(self) -> tuple[str, ...]:
        """The end-of-turn tokens of the template that are none of the stops: see template/ends.py."""
        if not self.template.source:
            return ()
        ends = (self.probes.plain_end, self.probes.call_end)
        return tuple(dict.fromkeys(end.token for end in ends if end is not None and end.token not in self.probes.stops))

    @cached_property
    def end_tokens(self) -> EndTokens:
        """The tokens that end a text or a turn: of the tokenizer, of the template, and of the known families."""
        named = (self.settings.files.special_tokens.get(name) for name in ("eos_token", "pad_token"))
        own = [text for text in named if text is not None and self.probes.control.id_of(text) is not None]
        ends = self.probes.end_texts if self.template.source else ()
        return EndTokens(tuple(sorted({*own, *ends})))

    @property
    def calls_written(self) -> str:
        """For which conversations the template writes tool calls: see TemplateProbes; always, if there is none."""
        return self.probes.calls_written if self.template.source else "always"

    @property
    def shows_reasoning(self) -> bool:
        """Whether the template writes reasoning. Without a template, nothing has any."""
        return self.probes.shows_reasoning if self.template.source else True

    @property
    def leaves_reasoning(self) -> bool:
        """Whether reasoning in texts is trained as a part of them."""
        if not self.template.source or self.probes.thinking.reads_texts:
            return False
        return any(way.reasoning != "drop" for way in self._provers.ways)

    def control_positions(self, ids: Ids) -> npt.NDArray[np.int64]:
        """The positions of control tokens in ids."""
        return self._masks.control_positions(ids)

    @cached_property
    def _masks(self) -> MaskProver:
        """What encodes guarded samples and proves their masks."""
        return MaskProver(self.encoder, self.vocabulary, self.probes.control, self.end_ids, self.id_of("bos_token"))

    def check(self) -> None:
        """Raise TemplateError if no turn can be trained with this template and tokenizer."""
        self._provers.check()
        refusal = self.probes.refusal
        if refusal is None and not self.probes.end_texts:
            refusal = "writes no end-of-turn token after an answer, so a model trained with it would never stop"
            token = self.probes.undeclared_end(calls=False)
            if token is not None:
                refusal = (
                    f"ends an answer with {token}, at which no server stops: it is neither the tokenizer's EOS nor in "
                    f'generation_config.json. If servers do stop at it, set stop_tokens: ["{token}"]'
                )
        if refusal is not None:
            name = self.settings.template if self.settings.template != "auto" else "the tokenizer's chat template"
            hint = "choose another template, see `sftdata templates list`"
            read = arguments_read(self.template)
            if any(f"'{argument}' is undefined" in refusal for argument in read):
                hint = f"set what it reads in chat_template_kwargs ({', '.join(read)}), or {hint}"
            raise TemplateError(name, refusal, hint)

    def can_prove(self, record: Record, source: int = 0) -> bool:
        """Whether the template's text of every trained turn of a record can be proven. Its encoding is not tried."""
        if record.text is not None:
            return True
        way = self._provers.ways[source]
        if self.settings.tool_call_ids == "make" and way.tool_calls == "keep":
            record, _ = with_call_ids(record, self.probes)
        batch = GuardedBatch()
        try:
            add_changed(record, way, self._provers.of_row(way, record.template_kwargs), batch, 0)
        except Refusal:
            return False
        return not batch.left_out

    def _explained(self, record: Record, drop: Drop, source: int) -> Drop:
        """The drop, with what the template asks of the ids of calls if other ids would lift it."""
        advice = advice_on_ids(record, drop, self.probes) if self.settings.tool_call_ids == "keep" else None
        if advice is None or not self.can_prove(with_call_ids(record, self.probes)[0], source):
            return drop
        return drop._replace(detail=f"{drop.detail}; {advice}")

    def encode(
        self, records: Sequence[Record], sources: Sequence[int] | None = None
    ) -> list[list[EncodedSample] | Drop]:
        """The samples of each record, or the reason why it has none."""
        return self.encode_batch(records, sources).results()

    def encode_batch(self, records: Sequence[Record], sources: Sequence[int] | None = None) -> EncodedBatch:
        """The samples of all records. `sources` has the place of each record's source in `settings.sources`; without
        it, all are of the first, or of none.

        Adds to `notes` what is counted of records that have samples: context that the template does not write, changes
        of roles; and split_conversations, split_texts, overlong_turns (turns that fit in no window) and cut_answers.
        `left_out` is why turns of records that have samples cannot be proven, and are not trained, by record.
        """
        self._provers.start_batch()
        made: dict[int, int] = {}
        if self.settings.tool_call_ids == "make":
            keeps = [way.tool_calls == "keep" for way in self._provers.ways]
            records, made = with_made_ids(records, self.probes, [keeps[one] for one in sources or [0] * len(records)])
        encoded, proven = self._encode_batch(records, sources)
        self.left_out = {
            owner: [refusal.drop for refusal in refusals]
            for owner, refusals in proven.left_out.items()
            if owner not in encoded.drops
        }
        for owner, number in made.items():
            if owner not in encoded.drops:
                self.notes[CHANGES, "made_call_ids"] += number
        for note, owners in proven.tallies.items():
            trained = [owner for owner in owners if owner not in encoded.drops]
            self.notes.update({note: len(trained)} if trained else {})
        for owner, noted in proven.notes.items():
            if owner not in encoded.drops:
                self.notes.update(noted)
        seq_len = self.settings.seq_len
        if self.settings.overlong == "drop" or seq_len is None:
            return encoded
        if (np.diff(encoded.offsets) <= seq_len).all() and all(
            drop.reason != TOO_MANY_TURNS for drop in encoded.drops.values()
        ):
            return encoded
        results = enumerate(encoded.results())
        return EncodedBatch.of(
            {
                number: self._fit(records[number], result, 0 if sources is None else sources[number])
                for number, result in results
            }
        )

    def _fit(self, record: Record, result: list[EncodedSample] | Drop, source: int) -> list[EncodedSample] | Drop:
        """The samples of a record split or truncated to seq_len. Samples for which that is impossible stay too long."""
        seq_len, overlong = self.settings.seq_len, self.settings.overlong
        if seq_len is None:
            return result
        if isinstance(result, Drop):
            can_split = result.reason == TOO_MANY_TURNS and overlong == "split"
            trained = trained_turns(record, self.settings.train_on)
            return (self._windows(record, trained, seq_len, source) or result) if can_split else result
        if fits(result, seq_len):
            return result
        if overlong == "truncate":
            truncated = [shorter for sample in result if (shorter := truncate(sample, seq_len)) is not None]
            if len(truncated) < len(result):
                return result
            self.notes[CHANGES, "cut_answers"] += sum(
                bool(np.any(sample.labels[seq_len:] != IGNORE)) for sample in result
            )
            return truncated
        if record.text is not None:
            self.notes[CHANGES, "split_texts"] += 1
            return split_text(result[0], seq_len, self.id_of("bos_token"))
        proven = sorted(turn for sample in result for turn in sample.turns)
        return self._windows(record, proven, seq_len, source) or result

    def _windows(self, record: Record, trained: Sequence[int], seq_len: int, source: int) -> list[EncodedSample]:
        """The samples of the windows of a conversation that fit; none if none of these turns fits."""
        samples, too_long = split_windows(
            record, trained, seq_len, lambda window: self._encode_batch([window], [source])[0].results()[0]
        )
        if samples:
            self.notes[CHANGES, "split_conversations"] += 1
            self.notes[CHANGES, "overlong_turns"] += len(too_long)
        return samples

    def _encode_batch(
        self, records: Sequence[Record], sources: Sequence[int] | None
    ) -> tuple[EncodedBatch, GuardedBatch]:
        """The samples of all records, whatever their length, and what they are made of: see GuardedBatch.

        All texts are encoded in one call.
        """
        texts: dict[int, list[EncodedSample] | Drop] = {}
        drops: dict[int, Drop] = {}
        proven = GuardedBatch()
        ways = self._provers.ways
        way = ways[0]
        for number, record in enumerate(records):
            if record.text is not None:
                texts[number] = self._encode_text(record.text)
                continue
            if sources is not None:
                way = ways[sources[number]]
            try:
                prover, kwargs = way.prover, record.template_kwargs
                if kwargs and trained_turns(record, self.settings.train_on):
                    prover = self._provers.of_row(way, kwargs)
                if way.changes:
                    add_changed(record, way, prover, proven, number)
                else:
                    prover.add_samples(record, proven, number)
                for name in prover.unused_kwargs:
                    proven.note(number, UNWRITTEN, f"rows: chat_template_kwargs.{name}")
            except Refusal as refusal:
                drops[number] = self._explained(record, refusal.drop, 0 if sources is None else sources[number])
        encoded = self._masks.encode(proven)
        encoded = encoded._replace(drops={**encoded.drops, **drops})
        batch = EncodedBatch.of({**texts, **encoded.by_record()}) if texts else encoded
        return batch, proven

    def generation_prompts(self) -> list[tuple[int, ...]]:
        """The ids that the template writes between the last message and a completion, longest first.

        These are the generation prompts of the last batch; they may depend on template arguments. If one does not start
        with a control token, its first id is left out, because it may depend on the text before it.
        """
        texts = dict.fromkeys(text for probes in self._provers.used_probes() for text in probes.generation_prompts)
        encoded = self.encoder.encode_each(list(texts))
        prompts = {
            tuple((ids if text.startswith(PRIVATE) else ids[1:]).tolist())
            for text, ids in zip(texts, encoded, strict=True)
        }
        return sorted(prompts - {()}, key=lambda ids: (-len(ids), ids))

    def prompts_before(
        self, ids: Ids, starts: npt.NDArray[np.int64], sample_starts: npt.NDArray[np.int64]
    ) -> set[tuple[int, ...]]:
        """The generation prompts directly before trained runs.

        `starts` are the starts of the runs in `ids`, `sample_starts` those of their samples. A run may have none of the
        generation prompts before it, because a token straddles the boundary. Then only the last id before the run is
        returned, so that no text of a message is.
        """
        found: set[tuple[int, ...]] = set()
        remaining = np.ones(len(starts), bool)
        for prompt in self.generation_prompts():
            match = remaining & (starts - sample_starts >= len(prompt))
            for back, id_ in enumerate(reversed(prompt), 1):
                match &= ids[np.maximum(starts - back, 0)] == id_
            if match.any():
                found.add(prompt)
                remaining &= ~match
        found.update((id_,) for id_ in np.unique(ids[starts[remaining] - 1]).tolist())
        return found

    def _encode_text(self, text: str) -> list[EncodedSample] | Drop:
        """Plain text: BOS if the tokenizer has one, the text, EOS. All but the first token is trained."""
        eos, bos = self.id_of("eos_token"), self.id_of("bos_token")
        if eos is None:
            hint = "use a tokenizer that has one; format: text ends each text with it"
            raise TokenizerError(self.settings.files.source, "has no eos_token", hint)
        if PRIVATE in text:
            return Drop("unproven_mask", "its text holds the private name of a control token")
        body = self.encoder.encode([text])[0]
        head = np.array([] if bos is None or bos == eos else [bos], np.int32)
        ids = np.concatenate([head, body, np.array([eos], np.int32)])
        labels = ids.copy()
        labels[0] = IGNORE
        return [EncodedSample(ids, labels, (0,))]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, including control tokens, for display."""
        if self.vocabulary.token_bytes is not None:
            return self.vocabulary.decode(np.array(ids, np.int32)).decode("utf-8", "replace")
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_buffer(self.settings.files.tokenizer_json)
        text: str = tokenizer.decode(list(ids), skip_special_tokens=False)
        return text
