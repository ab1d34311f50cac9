"""One proof for all conversations of a shape.

The shape of a plain conversation is its roles and which of its turns are trained. For each shape the definition in
turns.py is proven once, on a conversation whose contents are sentinels. Split at the sentinels, its rendering gives the
plan of the shape: the fixed texts between the contents, and where the completions start and end.

    rendering   <u>\\n [content 0] </u>\\n<a>\\n [content 1] </a>\\n
    statics     ^^^^^               ^^^^^^^^^^^               ^^^^^^
    pieces      <u>\\n [content 0] </u>\\n<a>\\n | [content 1] </a> | \\n

If the template writes contents unchanged and does not depend on them (see template/syntax.py), the plan gives the
pieces of every conversation of the shape, and one in 1024 conversations is checked against the definition. With other
templates, each conversation is also rendered once, and the plan is used if the rendering equals the statics with the
conversation's own contents in between.

The definition is applied to the conversation itself if the rendering differs (the template trims a content), if a
content contains a string that the template compares with, or if the shape takes more than one sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sftdata.encode.options import MAX_TURNS, TrainOn
from sftdata.encode.proof.definition import samples_by_definition
from sftdata.encode.proof.guarded_samples import GuardedBatch, GuardedSample, Note
from sftdata.encode.proof.modes import in_mode, notes_of, turns_in_modes
from sftdata.encode.proof.turns import TextSample, group_turns
from sftdata.encode.stats import DEVELOPER_AS_SYSTEM, UNUSED_MESSAGES
from sftdata.encode.template.conversation import Conversation, Refusal
from sftdata.encode.template.developer import Roles, can_join, with_roles, written_roles
from sftdata.encode.template.messages import strings_in, trained_turns
from sftdata.encode.template.probes import SENTINEL, TemplateProbes
from sftdata.encode.tokenizer.control import PRIVATE, RESERVED
from sftdata.records.reasoning_marks import may_hold_reasoning
from sftdata.records.record import PlainRecord, Record

_PRIVATE, _PLACEHOLDER = RESERVED
TOO_MANY_TURNS = "too_many_turns"
RECHECK_EVERY = 1024  # one in this many planned conversations is checked against the definition


class Plan(NamedTuple):
    """The rendering of a shape: the fixed texts around the contents, and where it is cut into pieces.

    `statics` are the fixed texts. `cuts` are places in them: (index of a static, offset into it).
    """

    statics: tuple[str, ...]
    cuts: tuple[tuple[int, int], ...]
    turns: tuple[int, ...]
    mode: str = ""  # of thinking in which it was rendered, see modes.py

    def text_with(self, contents: Sequence[str]) -> str:
        """The rendering that the plan expects for these contents."""
        parts = [self.statics[0]]
        for content, static in zip(contents, self.statics[1:]):
            parts += (content, static)
        return "".join(parts)


class ShapeProver:
    """Turns records into proven samples of guarded text, with one template. Caches the plans of shapes."""

    def __init__(
        self, probes: TemplateProbes, train_on: TrainOn, *, allow_lost: bool = False, max_turns: int = MAX_TURNS
    ) -> None:
        self.probes = probes
        self._max_turns = max_turns
        self._train_on = train_on
        self._allow_lost = allow_lost
        self._written_roles: dict[tuple[str, ...], Roles] = {}
        self._plans: dict[tuple[object, ...], PlannedShape | None] = {}
        self._plans_of_plain: dict[tuple[str, ...], PlannedShape | None] = {}  # by the roles of plain records
        self._num_planned = 0
        self.unused_kwargs = sorted(probes.kwargs.keys() - probes.template.variables) if probes.kwargs else []
        self._has_reasoning = probes.thinking.reads_texts  # in a text too
        self._may_branch = probes.content_use.trims or bool(probes.content_use.constants)
        self._is_verbatim = probes.content_use.verbatim
        # The template might act on control strings in its arguments, which the definition alone looks at.
        protects = any(_PLACEHOLDER in text for text in strings_in(probes.kwargs))
        self._may_plan = probes.content_use.opaque and not protects

    def start_batch(self) -> None:
        """Check the next planned sample against the definition, so that which ones are does not depend on the batches
        before.
        """
        self._num_planned = 0

    def add_samples(self, record: Record, batch: GuardedBatch, owner: int) -> None:
        """Add the samples of a record to a batch; `owner` is the number of the record.

        Raises Refusal if no turn of it is to be trained, if a turn cannot be proven, or if it has more than `max_turns`
        messages.
        """
        plain = record.plain
        planned: PlannedShape | None = None
        if plain is not None:
            try:
                planned = self._plans_of_plain[plain.roles]
            except KeyError:  # the roles of a plain record decide which turns are trained
                self._refuse_long(len(plain.roles))
                if "developer" in plain.roles and self._add_with_roles(record, plain.roles, batch, owner):
                    return
                planned = self._plan(plain.roles, trained_turns(plain, self._train_on))
                self._plans_of_plain[plain.roles] = planned
        else:
            roles = tuple([message.role for message in record.messages])
            self._refuse_long(len(roles))
            if "developer" in roles and self._add_with_roles(record, roles, batch, owner):
                return
            if not record.tools:
                plain = _without_train(record)
                planned = None if plain is None else self._plan(plain.roles, trained_turns(record, self._train_on))
        if plain is None or planned is None or not self._add_planned(record, plain, planned, batch, owner):
            self._add_by_definition(record, batch, owner)

    def _refuse_long(self, num_messages: int) -> None:
        if num_messages > self._max_turns:
            raise Refusal(TOO_MANY_TURNS, f"{num_messages:,} messages; max_turns is {self._max_turns:,}")

    def _add_with_roles(self, record: Record, roles: tuple[str, ...], batch: GuardedBatch, owner: int) -> bool:
        """Add the samples of a record with its developer messages as system messages; False if they stay."""
        if roles not in self._written_roles:
            self._written_roles[roles] = written_roles(roles, self.probes)
        written = self._written_roles[roles]
        if written.roles == roles or (written.joined and not can_join(record, written)):
            return False
        before = len(batch.turns)
        try:
            self.add_samples(with_roles(record, written), batch, owner)
        except Refusal as refusal:
            raise refusal.moved(written.shift) from refusal
        if written.shift:
            batch.turns[before:] = [tuple(turn + written.shift for turn in turns) for turns in batch.turns[before:]]
            if owner in batch.left_out:
                batch.left_out[owner] = [refusal.moved(written.shift) for refusal in batch.left_out[owner]]
        batch.note(owner, *DEVELOPER_AS_SYSTEM, written.changed)
        return True

    def _add_by_definition(self, record: Record, batch: GuardedBatch, owner: int) -> None:
        trained = trained_turns(record, self._train_on)
        if not trained:
            raise Refusal("nothing_to_train", "no turn of it is to be trained")
        samples, notes, left_out = self.by_definition(record, trained)
        if left_out:
            batch.left_out[owner] = left_out
        for sample in samples:
            batch.add(owner, sample.pieces, sample.controls, sample.turns)
        for (kind, name), number in notes.items():
            batch.note(owner, kind, name, number)

    def by_definition(
        self, record: Record, trained: Sequence[int]
    ) -> tuple[list[GuardedSample], Counter[Note], list[Refusal]]:
        """See `samples_by_definition`: the samples of a record without a plan. Raises Refusal."""
        return samples_by_definition(record, trained, self.probes, allow_lost=self._allow_lost)

    def _plan(self, roles: tuple[str, ...], trained: tuple[int, ...]) -> PlannedShape | None:
        """The plan of a shape, or None if it has none."""
        shape = (roles, trained)
        if shape not in self._plans:
            self._plans[shape] = self._make_plan(roles, trained) if trained and self._may_plan else None
        return self._plans[shape]

    def _make_plan(self, roles: tuple[str, ...], trained: tuple[int, ...]) -> PlannedShape | None:
        """The plan of a shape, or None unless its conversations are one sample that has each content once."""
        sentinels = [SENTINEL.format(i) for i in range(len(roles))]
        messages = [{"role": role, "content": sentinel} for role, sentinel in zip(roles, sentinels)]
        try:
            turns, left_out = turns_in_modes(Conversation(messages, None, self.probes.kwargs), trained, self.probes)
            samples = group_turns(turns)
        except Refusal:
            return None
        if left_out or len(samples) != 1:
            return None
        plan = plan_of(samples[0], sentinels[: trained[-1] + 1])
        if plan is None:
            return None
        layout = layout_of(plan, self.probes.control.guard)
        return PlannedShape(plan, layout, len(roles) - 1 - trained[-1], tuple(notes_of(turns, self.probes)))

    def _add_planned(
        self, record: Record, plain: PlainRecord, planned: PlannedShape, batch: GuardedBatch, owner: int
    ) -> bool:
        """Add the sample by the plan of its shape; False if the template might write these contents differently."""
        plan, layout, num_unused, notes = planned
        contents = plain.contents
        for content in contents:
            if not content or content.isspace() or _PRIVATE in content or _PLACEHOLDER in content:
                return False
        if self._may_branch and any(map(self.probes.content_use.may_branch_on, contents)):
            return False
        if self._has_reasoning and any(map(may_hold_reasoning, contents)):
            return False
        if not self._is_verbatim and not self._writes_as_planned(plain, plan):
            return False
        pieces = layout.pieces_with(contents)
        if self._num_planned % RECHECK_EVERY == 0:
            self._recheck(record, plan, GuardedSample(tuple(pieces), plan.turns))
        self._num_planned += 1
        batch.add(owner, pieces, layout.controls, plan.turns)
        if num_unused:
            batch.note(owner, *UNUSED_MESSAGES, num_unused)
        for note in notes:
            batch.tally(note, owner)
        return True

    def _writes_as_planned(self, plain: PlainRecord, plan: Plan) -> bool:
        """Whether the rendering of a conversation is the one of its plan. False if it has control strings."""
        used = plain.contents[: len(plan.statics) - 1]
        if any(map(self.probes.control.find, used)):
            return False
        return self._rendering(plain.roles, used, plan.mode) == plan.text_with(used)

    def _recheck(self, record: Record, plan: Plan, sample: GuardedSample) -> None:
        """Compare a planned sample with the definition. A difference is a bug in sftdata and raises AssertionError."""
        try:
            proven = self.by_definition(record, plan.turns)
        except Refusal as refusal:
            raise AssertionError(f"the definition refuses a planned sample: {refusal}; {plan}") from refusal
        if proven[0] != [sample]:
            raise AssertionError(f"a planned sample differs from the definition: {plan}")

    def _rendering(self, roles: Sequence[str], contents: Sequence[str], mode: str) -> str | None:
        """The rendering of the first messages of a plain record; None if the template refuses them."""
        messages = [{"role": role, "content": text} for role, text in zip(roles, contents)]
        try:
            chat, probes = in_mode(Conversation(messages, None, self.probes.kwargs), self.probes, mode)
            return chat.render(probes, len(contents), prompt=False)
        except Refusal:
            return None


def _without_train(record: Record) -> PlainRecord | None:
    """The record as a plain one, ignoring `train` and template arguments; None if it has anything else."""
    return Record(tuple([message._replace(train=None) for message in record.messages])).plain


def plan_of(sample: TextSample, sentinels: list[str]) -> Plan | None:
    """The plan of a sample whose contents are these sentinels; None if one is missing, repeated or out of order."""
    statics = []
    starts = []
    rest, place = sample.text, 0
    for sentinel in sentinels:
        before, found, after = rest.partition(sentinel)
        if not found or sentinel in after:
            return None
        statics.append(before)
        starts.append(place)
        place += len(before) + len(sentinel)
        rest = after
    statics.append(rest)
    starts.append(place)
    cuts = []
    for cut in (place for span in sample.spans for place in span):
        index = max(i for i, start in enumerate(starts) if start <= cut)
        if cut - starts[index] > len(statics[index]):
            return None  # inside a content
        cuts.append((index, cut - starts[index]))
    return Plan(tuple(statics), tuple(cuts), sample.turns, sample.mode)


class Layout(NamedTuple):
    """The pieces of a plan's samples, as guarded text with places for the contents."""

    starts: tuple[str, ...]  # the text of each piece before its first content
    contents: tuple[tuple[int, int, str], ...]  # of each: number of its piece, index, text after it
    controls: tuple[int, ...]  # the number of control tokens in each piece; contents have none

    def pieces_with(self, contents: Sequence[str]) -> list[str]:
        """The pieces with these contents."""
        pieces = list(self.starts)
        for piece, index, after in self.contents:
            pieces[piece] = f"{pieces[piece]}{contents[index]}{after}"
        return pieces


class PlannedShape(NamedTuple):
    """The plan of a shape, its layout, how many messages come after its last trained turn, and what to count once."""

    plan: Plan
    layout: Layout
    num_unused: int
    notes: tuple[Note, ...] = ()


def layout_of(plan: Plan, guard: Callable[[str], str]) -> Layout:
    """The layout of a plan's samples."""
    starts = [""]
    contents: list[tuple[int, int, str]] = []
    for index, static in enumerate(plan.statics):
        offsets = [0, *(offset for place, offset in plan.cuts if place == index), len(static)]
        texts = [guard(static[a:b]) for a, b in zip(offsets, offsets[1:])]
        if index:
            contents.append((len(starts) - 1, index - 1, texts[0]))
        else:
            starts[0] = texts[0]
        starts += texts[1:]
    controls = [start.count(PRIVATE) for start in starts]
    for piece, _, after in contents:
        controls[piece] += after.count(PRIVATE)
    return Layout(tuple(starts), tuple(contents), tuple(controls))
