"""The oracle of tests/encode, for templates that this project was not tuned for.

It judges by the same definition. What it adds is what such templates do: an end of turn that is written only when the
next turn follows, a generation prompt that the rendering leaves out or writes elsewhere, reasoning under other names,
contents as lists of parts, and switches for thinking.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from oracle import CLOSED, IGNORE, INLINE, Oracle, Turn, Unsatisfied, _call_in_form, _runs
from reference import Chat, change_fields, change_strings
from tools_in_text import TOOL_MARKS, in_text, shown
from zoo_stops import family_of

# The marks that models have for reasoning. Where they are to be the model's own, the characters at the end stand for
# them until the texts of messages are hidden.
MARKS = (
    ("<think>", "</think>", "\ue0f0", "\ue0f1"),
    ("[THINK]", "[/THINK]", "\ue0f2", "\ue0f3"),
    ("<|START_THINKING|>", "<|END_THINKING|>", "\ue0f4", "\ue0f5"),
    ("<seed:think>", "</seed:think>", "\ue0f6", "\ue0f7"),
)
# An empty block of thinking, at the end of a prompt, and in the rendering of a turn without reasoning.
_BLOCK = (
    r"(?:(?:<(?:\w+:)?think(?::\w+)?>|<\|channel>thought|<\|START_THINKING\|>)\s*)?"
    r"(?:</(?:\w+:)?think(?::\w+)?>|<channel\|>|<\|END_THINKING\|>)(?P<space>\s*)"
)
_EMPTY_BLOCK, _OWN_BLOCK = re.compile(_BLOCK + r"\Z"), re.compile(r"\s*" + _BLOCK)
_THINKING = re.compile(r"think|reason")
_REASONING = ("reasoning_content", "reasoning", "thinking")
_MODES = ("disabled", "enabled", "none", "high")
_EMPTY_START = re.compile(
    r"\s*(?:(?:<(?:\w+:)?think(?::\w+)?>)?\s*</(?:\w+:)?think(?::\w+)?>|<\|channel>thought\s*<channel\|>"
    r"|<\|START_THINKING\|>\s*<\|END_THINKING\|>)\s*"
)


class Form(NamedTuple):
    """Messages as they are given to a template, with its arguments."""

    messages: Chat
    kwargs: dict[str, Any] | None


class Verdict(NamedTuple):
    """What is wrong with a result, and the turns that it trains."""

    problems: list[str]
    turns: tuple[int, ...]


class ZooOracle(Oracle):
    """Judges the encoder's samples for one grafted tokenizer, whose folder has the name of the template."""

    def __init__(
        self, folder: Path, ends: Sequence[str], template: str | None = None, date: str = "2026-01-01"
    ) -> None:
        self.closing = family_of(folder.name).closing  # an end that is no stop
        super().__init__(folder, (*ends, self.closing) if self.closing else ends, template, date)

    def render(self, messages: Chat, tools: Any, kwargs: Mapping[str, Any] | None, *, prompt: bool) -> str:
        """As Reference does; what was rendered is remembered, because many forms have the same beginnings."""
        remembered: dict[str, str | ValueError] = self.__dict__.setdefault("remembered", {})
        key = json.dumps([messages, tools, kwargs, prompt])
        if key not in remembered:
            try:
                remembered[key] = super().render(messages, tools, kwargs, prompt=prompt)
            except ValueError as error:
                remembered[key] = error
        found = remembered[key]
        if isinstance(found, ValueError):
            raise found
        return found

    # The forms of a row -------------------------------------------------------------------------------------------

    def all_forms(self, messages: Chat, given: Mapping[str, Any] | None = None, changed: str = "") -> Iterator[Form]:
        """The ways in which a server may give a row to a template, with the setting `reasoning: drop` or `inline` if
        `changed` says so."""
        source = str(self.template or self.tokenizer.chat_template)
        calls = any(message.get("tool_calls") for message in messages)
        thoughts = any(message.get("reasoning_content") for message in messages)
        inline = any(INLINE.fullmatch(m.get("content") or "") for m in messages if m["role"] == "assistant")
        developer = any(message["role"] == "developer" for message in messages)
        switches: list[dict[str, Any] | None] = [dict(given) if given else None]
        for name in sorted(name for name in self._arguments(source) if _THINKING.search(name)):
            values = _MODES if name.endswith(("_mode", "_effort")) else (False, True)
            switches += [{**(given or {}), name: value} for value in values]
        keys_of_reasoning = [("reasoning_content", "thinking")]
        if re.search(r"\breasoning\b", source):
            keys_of_reasoning += [("reasoning_content", "thinking", "reasoning"), ("reasoning",)]
        seen: list[Form] = []
        for parts, developer_role, switch, split, keys, arguments, empty in itertools.product(
            (False, True) if re.search(r"\.text\b|\[.text.\]", source) else (False,),
            ("developer", "system") if developer else ("developer",),
            switches,
            ("", "split", *self._marks_of_the_tokenizer()) if inline or changed == "inline" else ("",),
            keys_of_reasoning if thoughts or inline else ((),),
            ("object", "text") if calls else ("object",),
            (None, "", "absent") if calls else (None,),
        ):
            form = [_formed(m, parts, developer_role, split, keys, arguments, empty, changed) for m in messages]
            if Form(form, switch) not in seen:
                seen.append(Form(form, switch))
                yield seen[-1]

    def _marks_of_the_tokenizer(self) -> list[str]:
        """The opening marks that are tokens; the first of MARKS in any case, as text."""
        known = set(self.tokenizer.get_added_vocab())
        return [opening for opening, close, *_ in MARKS if opening == MARKS[0][0] or known.issuperset((opening, close))]

    def _arguments(self, source: str) -> set[str]:
        """The names that a template reads and does not set."""
        from jinja2 import Environment, TemplateSyntaxError, meta

        try:
            parsed = Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"]).parse(source)
        except TemplateSyntaxError:
            return {name for name in ("enable_thinking", "thinking") if name in source}
        names = meta.find_undeclared_variables(parsed)
        # A name with a default is set by the template itself, from what it was given.
        return names | set(re.findall(r"set (\w+) = \1 (?:if|\|)", source))

    # The definition -----------------------------------------------------------------------------------------------

    def provable(self, form: Form, tools: Any, trained: Sequence[int]) -> tuple[list[Turn], list[Unsatisfied]]:
        """The prompt and the completion of the turns that have them, and why the others have none."""
        hidden = change_fields(form.messages, lambda text: _own_marks(self.masks.hide(text)))
        messages = change_fields(form.messages, _own_marks)
        hidden_tools = change_strings(tools, self.masks.hide)
        turns, problems = [], []
        for k in trained:
            try:
                turns.append(self._turn(messages, hidden, tools, hidden_tools, form.kwargs, k))
            except Unsatisfied as problem:
                problems.append(problem)
        return turns, problems

    def _turn(self, messages: Chat, hidden: Chat, tools: Any, hidden_tools: Any, kwargs: Any, k: int) -> Turn:
        texts = []
        is_plain = hidden == messages and hidden_tools == tools
        for stop, prompt in ((k, True), (k + 1, False)):
            try:
                text = self.render(hidden[:stop], hidden_tools, kwargs, prompt=prompt)
                plain = text if is_plain else self.render(messages[:stop], tools, kwargs, prompt=prompt)
            except ValueError as error:
                raise Unsatisfied(["template_error"], k) from error
            if self.masks.show(text) != plain:
                raise Unsatisfied(["unproven_mask"], k)  # the template depends on control strings
            texts.append(text)
        prompt_text, rendering = texts
        start = self._start(hidden, hidden_tools, kwargs, k, prompt_text, rendering)
        completion = self._completed(hidden, hidden_tools, kwargs, k, rendering[start:])
        if not self._shows_fields(hidden, hidden_tools, kwargs, k, completion):
            raise Unsatisfied(["lost_field"], k)
        return self._as_turn(k, prompt_text, rendering, completion)

    def _start(self, hidden: Chat, tools: Any, kwargs: Any, k: int, prompt: str, rendering: str) -> int:
        """Where the completion starts in a rendering."""
        if rendering.startswith(prompt):
            return len(prompt)
        place = _behind_the_same(prompt, rendering, _own_space(hidden[k]))
        if place is not None:
            return place
        block = _EMPTY_BLOCK.search(prompt)
        thinks = any(hidden[k].get(key) for key in _REASONING)
        place = _behind_opening(prompt, rendering, hidden[k]) if thinks else None
        if place is not None:
            return place
        if block is not None and not thinks and rendering.startswith(prompt[: block.start()]):
            # The rendering leaves out a block that the prompt opens and closes, or writes it in another form.
            own = _OWN_BLOCK.match(rendering, block.start())
            if own is None:
                return block.start()
            space = own.group("space")
            return own.end() - (len(space) - len(block.group("space")) if space.startswith(block.group("space")) else 0)
        try:
            without = self.render(hidden[:k], tools, kwargs, prompt=False)
        except ValueError as error:
            raise Unsatisfied(["unproven_mask"], k) from error
        generation = prompt[len(without) :] if prompt.startswith(without) else ""
        rest = rendering[len(without) :] if rendering.startswith(without) else generation
        if generation.strip() and generation not in rest and rest[:1] != generation[:1]:
            return len(without)  # the rendering leaves all of it out
        at = rendering.rfind(generation) if generation.strip() else -1
        before, after = rendering[: max(at, 0)], rendering[at + len(generation) :]
        own = [_first_field(hidden[k]), _text_of(hidden[k].get("content"))]
        if at < 0 or any(text.strip() and (text.strip() in before or text.strip() not in after) for text in own):
            if any(isinstance(message.get("content"), list) for message in hidden):
                raise Unsatisfied(["unproven_mask"], k)
            return self._cut(hidden, tools, kwargs, k, prompt, rendering)
        return at + len(generation)

    def _completed(self, hidden: Chat, tools: Any, kwargs: Any, k: int, tail: str) -> str:
        """The completion in what follows a prompt: up to the first token at which a server stops.

        Where a template writes no such token, it is what closes the turn: it may close parts of the turn as well.
        """
        places = [tail.index(end) + len(end) for end in self.ends if end in tail and end != self.closing]
        if places:
            return tail[: min(places)]
        if self.closing is not None and self.closing in tail:
            return tail[: tail.rindex(self.closing) + len(self.closing)]
        last = _last_field(hidden[k])
        at = tail.rfind(last) + len(last) if last and last in tail else -1
        if at < 0:
            raise Unsatisfied(["no_end_of_turn"], k)
        chat = [*hidden[: k + 1], *_follow_up(hidden, k)]
        try:
            longer = self.render(chat, tools, kwargs, prompt=False)
        except ValueError as error:
            raise Unsatisfied(["no_end_of_turn"], k) from error
        follow = chat[k + 1]["content"]
        place = longer.rfind(last) + len(last) if last in longer else -1
        between = longer[place : longer.find(_text_of(follow), place)]
        written = tail[at:] if between.startswith(tail[at:]) else tail[at:].rstrip()
        places = [between.index(end) + len(end) for end in self.ends if end in between]
        if place < 0 or not between.startswith(written) or not places:
            raise Unsatisfied(["no_end_of_turn"], k)
        return tail[:at] + between[: min(places)]

    def _shows_fields(self, hidden: Chat, tools: Any, kwargs: Any, k: int, completion: str) -> bool:
        """Whether every text, name and argument of turn k is in its completion (each is there only once)."""
        return all(any(form in completion for form in spellings(text)) for text in fields_of(hidden[k]))

    # Judging ------------------------------------------------------------------------------------------------------

    def verdict(self, row: Mapping[str, Any], samples: Sequence[Any], changed: str = "") -> Verdict:
        """What is wrong with samples of a row, each in the form that it fits best. Turns may be left out of them."""
        places = tuple(sorted(index for sample in samples for index in sample.turns))
        trained = self.trained(row["messages"], "all")
        if len(set(places)) < len(places) or not set(places) <= set(trained):
            return Verdict([f"trained turns {places}, which are not answers, each once"], places)
        forms = list(self.all_forms(row["messages"], row.get("chat_template_kwargs"), changed))
        used: list[Form] = []
        problems: list[str] = []
        for sample in samples:
            ids = [int(id_) for id_ in sample.input_ids]
            runs = _runs([int(label) for label in sample.labels])
            if len(runs) != len(sample.turns) or any(
                int(sample.labels[i]) not in (IGNORE, ids[i]) for i in range(len(ids))
            ):
                return Verdict(
                    [f"{len(runs)} trained runs for turns {sample.turns}, or labels that are no ids"], places
                )
            for (start, stop), k in zip(runs, sorted(sample.turns)):
                end = len(ids) if (start, stop) == runs[-1] else stop
                labels = [IGNORE] * start + ids[start:stop] + [IGNORE] * (end - stop)
                form, found = self._best_form(ids[:end], labels, k, forms, row.get("tools"))
                problems += found
                used.append(form)
                forms.sort(key=lambda one: one != form)
        if not problems and all(form == used[0] for form in used):
            turns, _ = self.provable(used[0], row.get("tools"), places)
            problems = self._judge_splits(samples, turns)
        return Verdict(problems, places)

    def _best_form(
        self, ids: list[int], labels: list[int], k: int, forms: Sequence[Form], tools: Any
    ) -> tuple[Form, list[str]]:
        """The first form in which a turn is right, or one in which it can be judged at all, and what is wrong."""
        best: tuple[Form, list[str]] | None = None
        can_be_judged = False
        for form in forms:
            turns, refused = self.provable(form, tools, [k])
            if refused:
                best = best or (form, [f"got a sample, but the definition cannot be satisfied: {refused[0]}"])
                continue
            problems = self._judge_sample(ids, labels, turns)
            wanted = self.prompt_ids(change_fields(form.messages, _own_marks)[:k], tools, form.kwargs)
            if wanted is not None and ids[: _runs(labels)[0][0]] != wanted:
                problems.append(f"turn {k + 1}: apply_chat_template gives another prompt")
            block = _EMPTY_START.match(turns[0].completion)
            if not problems or (block and not self._judge_sample(ids, labels, [_behind(turns[0], block.group())])):
                return form, []
            if not can_be_judged:
                best, can_be_judged = (form, problems), True
        assert best is not None
        return best

    def prompt_ids(self, messages: Chat, tools: Any, kwargs: Any) -> list[int] | None:
        """The ids of a prompt by transformers alone; None if messages have control strings, which it would trust."""
        texts = "".join(text for message in messages for text in fields_of(message))
        if self.masks.hide(texts) != texts:
            return None
        text = self.render(messages, tools, kwargs, prompt=True)
        found = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [int(id_) for id_ in found]

    def empty_blocks(self, sample: Any) -> int:
        """How many trained runs begin with a block of thinking that holds nothing: they teach not to think."""
        ids = [int(id_) for id_ in sample.input_ids]
        runs = _runs([int(label) for label in sample.labels])
        return sum(_EMPTY_START.match(self.masks.show(self.spell(ids[start:stop]))) is not None for start, stop in runs)

    def writes_every_field(self, row: Mapping[str, Any]) -> bool:
        """Whether some form of a row is rendered with all its texts: reasoning at least while its turn is the last."""
        return any(self._writes(form, row.get("tools")) for form in self.all_forms(row["messages"]))

    def _writes(self, form: Form, tools: Any) -> bool:
        messages = change_fields(form.messages, _own_marks)
        answers = [k for k, message in enumerate(messages) if message["role"] == "assistant"]
        try:
            whole = self.render(messages, tools, form.kwargs, prompt=messages[-1]["role"] != "assistant")
            ends = {k: self.render(messages[: k + 1], tools, form.kwargs, prompt=False) for k in answers}
            before = {k: self.render(messages[:k], tools, form.kwargs, prompt=True) for k in answers}
        except ValueError:
            return False
        texts = [text for message in messages for text in fields_of(message, history=True)]
        texts += [tool["function"]["name"] for tool in tools or ()]
        last = before[answers[-1]] if answers else ""  # some templates write the system message only there
        shown = all(
            any(spelling in written for written in (whole, last) for spelling in spellings(text)) for text in texts
        )
        return shown and all(
            any(ends[k].count(spelling) > before[k].count(spelling) for spelling in spellings(text))
            for k in answers
            for text in fields_of(messages[k])
        )


class TextOracle(ZooOracle):
    """Judges samples of rows whose calls, results and tools are text: as conversations of these texts."""

    own = (*ZooOracle.own, *TOOL_MARKS)

    def verdict(self, row: Mapping[str, Any], samples: Sequence[Any], changed: str = "") -> Verdict:
        """As for any row, of its texts; the turns of the samples are those of the row."""
        known = [pair for pair in zip(TOOL_MARKS[::2], TOOL_MARKS[1::2]) if self.controls.keys() >= {*pair}]
        given, places = in_text(row, self._tools_in(row), sum(known, ()))
        at = {place: turn for turn, place in enumerate(places)}  # of an inserted message and the first, the latter
        moved = [
            SimpleNamespace(input_ids=one.input_ids, labels=one.labels, turns=tuple(at[k] for k in one.turns))
            for one in samples
        ]
        found = super().verdict(given, moved, changed)
        return Verdict(found.problems, tuple(places[turn] for turn in found.turns))

    def _tools_in(self, row: Mapping[str, Any]) -> str:
        """Where the tools have to be: with the template if it writes every text of them, which is seen in a prompt."""
        head = [message for message in row["messages"][:1] if message["role"] in ("system", "developer")]
        question = {"role": "user", "content": "qz"}
        prompt = self._prompt([*({**message, "role": "system"} for message in head), question], row.get("tools"))
        texts = [text for tool in row.get("tools") or () for text in _texts_of(tool["function"])]
        if all(text in prompt for text in texts):
            return "template"
        system = self._prompt([{"role": "system", "content": "qzx8zq"}, question], None)
        return "system" if "qzx8zq" in system else "user"

    def _prompt(self, messages: Chat, tools: Any) -> str:
        """A prompt of these messages, their contents as texts or as parts; empty if the template takes neither."""
        parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]
        for form in (messages, parts):
            with contextlib.suppress(ValueError):
                text = self.render(form, tools, None, prompt=True)
                if messages[-1]["content"] in text:
                    return text
        return ""


def _texts_of(value: Any) -> list[str]:
    """The names and descriptions of a tool."""
    found = [value[key] for key in ("name", "description") if isinstance(value.get(key), str)]
    for name, schema in (value.get("parameters") or value).get("properties", {}).items():
        found += [name, *_texts_of(schema)]
    return found


def _behind(turn: Turn, block: str) -> Turn:
    """A turn of which an empty block of thinking belongs to the prompt, so that nothing teaches not to think."""
    return Turn(turn.index, turn.prompt + block, turn.completion[len(block) :], turn.rendering)


def fields_of(message: Mapping[str, Any], *, history: bool = False) -> list[str]:
    """Every text of a message that has to be written; with `history`, without reasoning."""
    content = _text_of(message.get("content"))
    inline = INLINE.fullmatch(content) if message["role"] == "assistant" else None
    texts = [content] if inline is None else [inline.group(2), *(() if history else (inline.group(1),))]
    if not history:
        texts += [message.get(key) or "" for key in ("reasoning_content", "reasoning", "thinking")][:1]
        texts += [message.get("reasoning") or ""]
    for call in message.get("tool_calls") or ():
        texts += [call["function"]["name"], *_values(call["function"]["arguments"])]
    return [text.strip() for text in texts if text.strip()]


def spellings(text: str) -> Iterator[str]:
    """A text as templates write it: as it is, as JSON in JSON, and the parts of a JSON object."""
    yield text
    yield json.dumps(text)[1:-1]
    if text.startswith("{"):
        yield json.dumps(json.loads(text), separators=(",", ":"))
        yield next(value for value in json.loads(text).values() if isinstance(value, str))


def _values(arguments: Any) -> list[str]:
    value = json.loads(arguments) if isinstance(arguments, str) else arguments
    return [str(item) for pair in value.items() for item in pair]


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""


def _own_marks(text: str) -> str:
    for opening, close, opens, closes in MARKS:
        text = text.replace(opens, opening).replace(closes, close)
    return shown(text)


def _first_field(message: Mapping[str, Any]) -> str:
    """The first text that a turn is expected to write."""
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    text = reasoning or _text_of(message.get("content"))
    return text.strip()


def _last_field(message: Mapping[str, Any]) -> str:
    """The last text that a turn is expected to write."""
    if message.get("tool_calls"):
        return _values(message["tool_calls"][-1]["function"]["arguments"])[-1]
    return _text_of(message.get("content")).strip()


def _follow_up(hidden: Chat, k: int) -> Chat:
    """What follows turn k: the conversation's own next message, or one of the kind that is to be expected."""
    if len(hidden) > k + 1:
        return hidden[k + 1 : k + 2]
    calls = hidden[k].get("tool_calls")
    if not calls:
        return [{"role": "user", "content": "qzx7zq"}]
    name = calls[0]["function"]["name"]
    return [{"role": "tool", "content": "qzx7zq", "name": name, "tool_call_id": calls[0].get("id")}]


def _formed(
    message: dict[str, Any], parts: bool, developer: str, split: str, keys: Sequence[str], arguments: str,
    empty: str | None, changed: str,
) -> dict[str, Any]:  # fmt: skip
    """A message in one of the forms of `all_forms`."""
    formed = {key: value for key, value in message.items() if key != "reasoning_content"}
    thought = message.get("reasoning_content")
    if message["role"] == "developer":
        formed["role"] = developer
    if message["role"] == "assistant":
        content = message.get("content") or ""
        inline = INLINE.fullmatch(content) or CLOSED.fullmatch(content)
        own = next((tuple(stand_ins) for opening, _, *stand_ins in MARKS if opening == split), None)
        if inline and split == "split":
            thought, formed["content"] = inline.group(1).strip("\n"), inline.group(2).lstrip("\r\n")
        elif inline and own:
            formed["content"] = content.replace("<think>", own[0], 1).replace("</think>", own[1], 1)
        if thought and changed == "inline":
            opening, closing = own or ("<think>", "</think>")
            text = f"\n\n{content}" if content else ""
            formed["content"], thought = f"{opening}\n{thought}\n{closing}{text}", None
            content = formed["content"]
        if thought and changed != "drop":
            formed |= dict.fromkeys(keys, thought)
        if message.get("tool_calls"):
            formed["tool_calls"] = [_call_in_form(call, arguments) for call in message["tool_calls"]]
            if not content:
                formed["content"] = empty
                if empty == "absent":
                    del formed["content"]
    if parts and isinstance(formed.get("content"), str):
        formed["content"] = [{"type": "text", "text": formed["content"]}]
    return formed


def _own_space(message: Mapping[str, Any]) -> str:
    """The white space with which the first text of a turn begins."""
    text = next((text for key in (*_REASONING, "content") if (text := _text_of(message.get(key))).strip()), "")
    return text[: len(text) - len(text.lstrip())]


def _behind_the_same(prompt: str, rendering: str, own: str) -> int | None:
    """Where a rendering goes on behind all that a prompt has, if they differ only in white space.

    White space at the end of the prompt is not written again, whatever form the rendering has it in. The turn's own is.
    """
    wanted = "".join(prompt.split())
    places = [at for at, character in enumerate(rendering) if not character.isspace()][: len(wanted)]
    if "".join(rendering[at] for at in places) != wanted:
        return None
    start = places[-1] + 1
    space = rendering[start : start + len(rendering[start:]) - len(rendering[start:].lstrip())].removesuffix(own)
    given = prompt[len(prompt.rstrip()) :]
    return start + (len(given) if space.startswith(given) else len(space))


def _behind_opening(prompt: str, rendering: str, message: Mapping[str, Any]) -> int | None:
    """Where the reasoning of a turn begins in its rendering, right where the prompt has an opening of its own."""
    same = next((at for at, (a, b) in enumerate(zip(prompt, rendering)) if a != b), len(prompt))
    opening, rest = prompt[same:].strip(), rendering[same:]
    is_closed = "</" in opening or "end" in opening.lower()
    thought = _first_field(message)
    if not opening or is_closed or not thought or not rest.lstrip().startswith(thought):
        return None
    space = rest[: len(rest) - len(rest.lstrip())]
    return same + len(space.removesuffix(_own_space(message)))
