"""One proof for every conversation of a shape: render once, and know where each completion stands.

The *shape* of a plain conversation is its roles and which turns are trained. For each shape the definition (turns.py)
is proven once, on a conversation whose contents are sentinels. Cut at the sentinels, its rendering gives the plan:

    rendering   <u>\\n [content 0] </u>\\n<a>\\n [content 1] </a>\\n
    statics     ^^^^^               ^^^^^^^^^^^               ^^^^^^
    pieces      <u>\\n [content 0] </u>\\n<a>\\n | [content 1] </a> | \\n

A template whose syntax tree shows that it writes contents exactly as they are, and looks at nothing in them, needs no
more: the pieces of every conversation of the shape are known, and every 1024th is proven anew. Under another template a
conversation of the shape is rendered once; where the rendering equals the statics with its own contents between
them, its pieces are known exactly. Where it does not (the template trimmed a field), where a content holds a string
that the template compares with, or where the shape needs a split, the definition is applied to the conversation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sftdata.encode.options import TrainOn
from sftdata.encode.proof.guarded import GuardedBatch, GuardedSample
from sftdata.encode.proof.turns import Conversation, Refusal, TextSample, group_turns, prove_turns
from sftdata.encode.template.messages import strings_in, strings_of, strings_of_message, to_chat, trained_turns
from sftdata.encode.template.probes import MARK, TemplateProbes
from sftdata.encode.tokenizer.control import PLACEHOLDER, PRIVATE, RESERVED
from sftdata.records.record import PlainRecord, Record

_PRIVATE, _PLACEHOLDER = RESERVED
RECHECK = 1024  # one planned conversation in so many is proven anew by the definition


class Plan(NamedTuple):
    """How the rendering of a shape is put together and where its completions are cut.

    `statics` are the literal texts around the contents, `cuts` are places (index of a static, offset into it).
    """

    statics: tuple[str, ...]
    cuts: tuple[tuple[int, int], ...]
    turns: tuple[int, ...]

    def text_with(self, contents: Sequence[str]) -> str:
        """The rendering that the plan expects for these contents."""
        parts = [self.statics[0]]
        for content, static in zip(contents, self.statics[1:]):
            parts += (content, static)
        return "".join(parts)


class ShapeProver:
    """Text-level samples of records under one template. Keeps the plans of the shapes it has met."""

    def __init__(self, probes: TemplateProbes, train_on: TrainOn) -> None:
        self.probes = probes
        self._train_on = train_on
        self._plans: dict[tuple[object, ...], Planned | None] = {}
        self._plans_of_plain: dict[tuple[str, ...], Planned | None] = {}  # by the roles of plain records
        self._planned = 0
        self._looks = probes.reads.trims or bool(probes.reads.needles)
        self._verbatim = probes.reads.verbatim

    def add_samples(self, record: Record, batch: GuardedBatch, owner: int) -> None:
        """Add the samples of a record, the `owner`, to a batch.

        Raises Refusal where nothing of it is to be trained, or something cannot be proven.
        """
        plain = record.plain
        planned: Planned | None = None
        if plain is not None:
            try:
                planned = self._plans_of_plain[plain.roles]
            except KeyError:  # its roles alone decide what is trained
                planned = self._plan(plain.roles, trained_turns(plain, self._train_on))
                self._plans_of_plain[plain.roles] = planned
        elif not record.tools:
            plain = _without_train(record)
            planned = None if plain is None else self._plan(plain.roles, trained_turns(record, self._train_on))
        if plain is None or planned is None or not self._add_planned(record, plain, planned, batch, owner):
            self._add_by_definition(record, batch, owner)

    def _add_by_definition(self, record: Record, batch: GuardedBatch, owner: int) -> None:
        trained = trained_turns(record, self._train_on)
        if not trained:
            raise Refusal("nothing_to_train", "no turn of it is to be trained")
        for sample in self.by_definition(record, trained):
            batch.add(owner, sample.pieces, sample.controls, sample.turns)

    def by_definition(self, record: Record, trained: Sequence[int]) -> list[GuardedSample]:
        """The record's samples by turns.py alone."""
        probes = self.probes
        texts = strings_of(record)
        for turn, message in enumerate(record.messages):
            if any(PRIVATE in text or PLACEHOLDER in text for text in strings_of_message(message)):
                raise Refusal("unproven_mask", "its text holds the private name of a control token", turn)
        if any(PRIVATE in text or PLACEHOLDER in text for tool in record.tools for text in strings_in(tool)):
            raise Refusal("unproven_mask", "its tools hold the private name of a control token")
        chat = to_chat(record, probes)
        turns = prove_turns(chat, trained, probes)
        if self._protection_matters(texts):
            self._check_protection(record, chat, trained)
        return [self._guard(sample) for sample in group_turns(turns)]

    def _plan(self, roles: tuple[str, ...], trained: tuple[int, ...]) -> Planned | None:
        """The plan of a shape, or None where it has none."""
        shape = (roles, trained)
        if shape not in self._plans:
            plan = self._make_plan(roles, trained) if trained and self.probes.reads.opaque else None
            self._plans[shape] = None if plan is None else Planned(plan, layout_of(plan, self.probes.control.guard))
        return self._plans[shape]

    def _make_plan(self, roles: tuple[str, ...], trained: tuple[int, ...]) -> Plan | None:
        """The plan of a shape, or None where conversations of it are not one sample with every content in it once."""
        marks = [MARK.format(i) for i in range(len(roles))]
        messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks)]
        try:
            samples = group_turns(prove_turns(Conversation(messages, None, self.probes.kwargs), trained, self.probes))
        except Refusal:
            return None
        if len(samples) != 1:
            return None
        return plan_of(samples[0], marks[: trained[-1] + 1])

    def _add_planned(
        self, record: Record, plain: PlainRecord, planned: Planned, batch: GuardedBatch, owner: int
    ) -> bool:
        """Add the sample as planned; False where the template might not write the contents as the plan expects."""
        plan, layout = planned
        contents = plain.contents
        for content in contents:
            if not content or content.isspace() or _PRIVATE in content or _PLACEHOLDER in content:
                return False
        if self._looks and any(map(self.probes.reads.may_branch_on, contents)):
            return False
        if not self._verbatim and not self._writes_as_planned(plain, plan):
            return False
        pieces = layout.pieces_with(contents)
        if self._planned % RECHECK == 0:
            self._recheck(record, plan, GuardedSample(tuple(pieces), plan.turns))
        self._planned += 1
        batch.add(owner, pieces, layout.controls, plan.turns)
        return True

    def _writes_as_planned(self, plain: PlainRecord, plan: Plan) -> bool:
        """Whether the template writes a conversation as its plan expects. What it does to control strings is a matter
        for the definition.
        """
        used = plain.contents[: len(plan.statics) - 1]
        if any(map(self.probes.control.find, used)):
            return False
        return self._rendering(plain.roles, used) == plan.text_with(used)

    def _recheck(self, record: Record, plan: Plan, sample: GuardedSample) -> None:
        """Hold a planned sample against the definition. A difference is a fault of ours, and ends the run."""
        try:
            proven = self.by_definition(record, plan.turns)
        except Refusal as refusal:
            raise AssertionError(f"the definition refuses what a plan gave: {refusal}; {plan}") from refusal
        if proven != [sample]:
            raise AssertionError(f"the plan of a shape is not what the definition gives: {plan}")

    def _rendering(self, roles: Sequence[str], contents: Sequence[str]) -> str | None:
        """The first messages of a plain record as the template writes them; None where it refuses."""
        messages = [{"role": role, "content": text} for role, text in zip(roles, contents)]
        try:
            return Conversation(messages, None, self.probes.kwargs).render(self.probes, len(contents), prompt=False)
        except Refusal:
            return None

    def _guard(self, sample: TextSample) -> GuardedSample:
        """A proven text, cut at its spans and rewritten for the guarded tokenizer."""
        cuts = [0, *(place for span in sample.spans for place in span), len(sample.text)]
        guard = self.probes.control.guard
        return GuardedSample(tuple(guard(sample.text[a:b]) for a, b in zip(cuts, cuts[1:])), sample.turns)

    def _protection_matters(self, texts: list[str]) -> bool:
        """Whether control strings were replaced by placeholders, which the template might write differently."""
        return any(self.probes.control.find(text) for text in texts)

    def _check_protection(self, record: Record, chat: Conversation, trained: Sequence[int]) -> None:
        """Refuse a conversation that the template writes differently because its control strings are protected."""
        probes = self.probes
        plain = to_chat(record, probes, protect=False)
        for k in trained:
            for num_messages, prompt in ((k, True), (k + 1, False)):
                protected = probes.control.unprotect(chat.render(probes, num_messages, prompt=prompt))
                if protected != plain.render(probes, num_messages, prompt=prompt):
                    raise Refusal("unproven_mask", "the template acts on a control string in its text", k)


def _without_train(record: Record) -> PlainRecord | None:
    """A record as a plain one, where nothing but what is trained and arguments of the template keep it from being."""
    return Record(tuple([message._replace(train=None) for message in record.messages])).plain


def plan_of(sample: TextSample, marks: list[str]) -> Plan | None:
    """The plan of a sample whose contents are these sentinels; None where one is absent, twice, or out of order."""
    statics = []
    starts = []
    rest, place = sample.text, 0
    for mark in marks:
        before, found, after = rest.partition(mark)
        if not found or mark in after:
            return None
        statics.append(before)
        starts.append(place)
        place += len(before) + len(mark)
        rest = after
    statics.append(rest)
    starts.append(place)
    cuts = []
    for cut in (place for span in sample.spans for place in span):
        index = max(i for i, start in enumerate(starts) if start <= cut)
        if cut - starts[index] > len(statics[index]):
            return None  # inside a content
        cuts.append((index, cut - starts[index]))
    return Plan(tuple(statics), tuple(cuts), sample.turns)


class Layout(NamedTuple):
    """The pieces of a plan's samples, as guarded texts with contents between them.

    `begins` has what stands in each piece before its first content. For each content follow: the number of its piece,
    its index, and the text behind it. `controls` counts the control tokens in each piece; contents have none.
    """

    begins: tuple[str, ...]
    contents: tuple[tuple[int, int, str], ...]
    controls: tuple[int, ...]

    def pieces_with(self, contents: Sequence[str]) -> list[str]:
        """The pieces with these contents."""
        pieces = list(self.begins)
        for at, index, behind in self.contents:
            pieces[at] = f"{pieces[at]}{contents[index]}{behind}"
        return pieces


class Planned(NamedTuple):
    """What is known of a shape."""

    plan: Plan
    layout: Layout


def layout_of(plan: Plan, guard: Callable[[str], str]) -> Layout:
    """The layout of a plan's samples."""
    begins = [""]
    contents: list[tuple[int, int, str]] = []
    for index, static in enumerate(plan.statics):
        offsets = [0, *(offset for place, offset in plan.cuts if place == index), len(static)]
        texts = [guard(static[a:b]) for a, b in zip(offsets, offsets[1:])]
        if index:
            contents.append((len(begins) - 1, index - 1, texts[0]))
        else:
            begins[0] = texts[0]
        begins += texts[1:]
    controls = [begin.count(PRIVATE) for begin in begins]
    for at, _, behind in contents:
        controls[at] += behind.count(PRIVATE)
    return Layout(tuple(begins), tuple(contents), tuple(controls))
