"""A slow check of encoded samples, written from nothing but the definition of a correct mask.

It renders with transformers' `apply_chat_template(tokenize=False)`, encodes with transformers' tokenizer, and shares no
code with the package. For assistant turn k of a conversation:

    prompt      P_k = render(messages[:k], add_generation_prompt=True)
    rendering   R_k = render(messages[:k + 1])
    completion  C_k = what follows P_k in R_k, up to and including the first end-of-turn token

The loss must fall on exactly the tokens of C_k, encoded such that the ids before them equal encode(P_k).

Of a model that thinks if its template's switch says so (`switch`, written by hand), an answer with reasoning is what it
writes with the switch on, one without is what it writes with the switch off, unless the row sets it. An empty thinking
block that the template still has in front of an answer without reasoning belongs to P_k.

Control strings in messages are replaced by private-use characters before rendering (`Masks`), so that every control
string in a rendering was written by the template. End-of-turn tokens are written by hand, per template.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reference import THINKING, Chat, Reference, change_fields, change_strings

IGNORE = -100
INLINE = re.compile(r"\s*<think>(.*?)</think>(.*)", re.DOTALL)
CLOSED = re.compile(r"((?:(?!</?think>).)*)</think>((?:(?!</?think>).)*)", re.DOTALL)  # without its opening mark
BLOCK = re.compile(r"(?:<think>\s*)?\s*</think>")
LEFT_OUT = re.compile(r"<think>\s*</think>\s*\Z")
SPLITS = ("", "all", "one", "all closed", "one closed")


@dataclass(frozen=True)
class Turn:
    """One trained turn by the definition. Control strings of messages are hidden in the texts (see Masks)."""

    index: int
    prompt: str
    completion: str
    rendering: str | None  # R_k if it starts with prompt + completion


class Unsatisfied(Exception):
    """The definition cannot be satisfied. Has the reasons that a drop may give, and the turn (0-based)."""

    def __init__(self, reasons: Sequence[str], turn: int) -> None:
        super().__init__(f"turn {turn + 1}: {' or '.join(reasons)}")
        self.reasons = tuple(reasons)
        self.turn = turn


class Oracle(Reference):
    """Judges an encoder's results for conversations, for one tokenizer and one template."""

    switch: str | None = None  # of a template that thinks if it is true, or by default

    # The definition ----------------------------------------------------------------------------------------------

    def forms(self, messages: Chat) -> Iterator[tuple[Chat, bool]]:
        """The ways to give these messages to a template, unchanged first: arguments as text or object, no content as ""
        or absent, reasoning inline or as a field. And whether it has to be taken: an end of reasoning without its
        beginning may be text."""
        calls = any(message.get("tool_calls") for message in messages)
        inline = any(
            m["role"] == "assistant" and m.get("reasoning_content") is None and "</think>" in (m.get("content") or "")
            for m in messages
        )
        yielded = []
        for arguments, empty, split in itertools.product(
            ("given", "object", "text") if calls else ("given",),
            ("given", "absent", "") if calls else ("given",),
            SPLITS if inline else ("",),
        ):
            form = [_in_form(message, arguments, empty, split) for message in messages]
            if form not in yielded:
                yielded.append(form)
                yield form, "closed" not in split

    def turns(
        self, messages: Chat, tools: Any, kwargs: Any, trained: Sequence[int]
    ) -> tuple[list[Turn], list[Unsatisfied]]:
        """The prompt and completion of each trained turn, control strings hidden; and why some turns have none.

        No turn has any if the template refuses one.
        """
        messages = [self._as_model_writes(message) for message in messages]
        hidden = [self._with_own_marks(m, h) for m, h in zip(messages, change_fields(messages, self.masks.hide))]
        hidden_tools = change_strings(tools, self.masks.hide)
        turns: list[Turn] = []
        problems: list[Unsatisfied] = []
        for k in trained:
            try:
                given = self._in_mode(messages[k], kwargs)
                turn = self._turn(messages, hidden, tools, hidden_tools, given, k)
                if not _is_reasoned(messages[k]):
                    named = self._with(hidden, hidden_tools, given, k, {**hidden[k], "content": "qzx9zq"})
                    turn = _without_block(turn, hidden[k], named or "")
                turns.append(turn)
                if any(one.prompt + one.completion == turns[-1].prompt for one in turns[:-1]):
                    # Two runs without a token between them would be one, with two ends.
                    raise Unsatisfied(["unproven_mask"], k)
            except Unsatisfied as problem:
                problems.append(problem)
        is_refused = any("template_error" in problem.reasons for problem in problems)
        return [] if is_refused else turns, problems

    def _writes_own_marks(self, message: dict[str, Any]) -> bool:
        """Whether reasoning at the head of this answer is in the model's own marks: the template writes none."""
        has_marks = not self.writes_thinking and set(THINKING) <= self.controls.keys()
        return has_marks and message["role"] == "assistant" and not message.get("reasoning_content")

    def _as_model_writes(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message as a model with own marks writes it.

        Blank reasoning is none: no prompt of such a template has an empty block, and a trained one would teach not to
        think. If a prompt opened the block, its end at the end of a line is all that a text has of it.
        """
        content = message.get("content") or ""
        inline, closed = INLINE.fullmatch(content), CLOSED.fullmatch(content)
        if not self._writes_own_marks(message):
            return message
        if inline is not None and not inline.group(1).strip() and _is_certain(inline):
            return {**message, "content": inline.group(2).lstrip("\n")}
        if closed is None or not closed.group(1).strip() or not closed.group(2).strip() or "`" in content:
            return message
        if not closed.group(1).endswith("\n") and not closed.group(2).startswith(("\n", "\r\n")):
            return message  # within a line it is text
        thought, answer = closed.group(1).strip("\n"), closed.group(2).lstrip("\r\n")
        return {**message, "content": f"<think>\n{thought}\n</think>\n\n{answer}"}

    def _with_own_marks(self, message: dict[str, Any], hidden: dict[str, Any]) -> dict[str, Any]:
        """The hidden message with the model's own marks shown. Where several may end the reasoning, all stay text."""
        inline = INLINE.fullmatch(message.get("content") or "")
        if inline is None or not self._writes_own_marks(message) or not _is_certain(inline):
            return hidden
        space = message["content"].partition("<think>")[0]
        thought, answer = map(self.masks.hide, inline.groups())
        return {**hidden, "content": f"{space}<think>{thought}</think>{answer}"}

    def _in_mode(self, message: dict[str, Any], kwargs: Any) -> Any:
        """The template arguments with which a turn is served."""
        if self.switch is None or self.switch in (kwargs or {}):
            return kwargs
        return {**(kwargs or {}), self.switch: _is_reasoned(message)}

    def _turn(self, messages: Chat, hidden: Chat, tools: Any, hidden_tools: Any, kwargs: Any, k: int) -> Turn:
        texts = []
        for stop, prompt in ((k, True), (k + 1, False)):
            try:
                text = self.render(hidden[:stop], hidden_tools, kwargs, prompt=prompt)
                plain = self.render(messages[:stop], tools, kwargs, prompt=prompt)
            except ValueError as error:
                raise Unsatisfied(["template_error"], k) from error
            if self.masks.show(text) != plain:
                # The template depends on control strings.
                raise Unsatisfied(["unproven_mask", "lost_field", "no_end_of_turn"], k)
            texts.append(text)
        prompt_text, rendering = texts
        left_out = LEFT_OUT.search(prompt_text)
        if rendering.startswith(prompt_text):
            start = len(prompt_text)
        elif left_out and not _is_reasoned(messages[k]) and rendering.startswith(prompt_text[: left_out.start()]):
            start = left_out.start()  # the rendering leaves out an empty thinking block that the prompt has
        else:
            try:
                start = self._cut(hidden, hidden_tools, kwargs, k, prompt_text, rendering)
            except Unsatisfied as problem:
                if self._shows_fields(hidden, hidden_tools, kwargs, k, rendering):
                    raise
                raise Unsatisfied([*problem.reasons, "lost_field"], k) from problem  # both are true of it
        tail = rendering[start:]
        places = [tail.index(end) + len(end) for end in self.ends if end in tail]
        if not places:
            raise Unsatisfied(["no_end_of_turn", "lost_field"], k)
        completion = tail[: min(places)]
        if not self._shows_fields(hidden, hidden_tools, kwargs, k, completion):
            raise Unsatisfied(["lost_field"], k)
        return self._as_turn(k, prompt_text, rendering, completion)

    def _as_turn(self, k: int, prompt: str, rendering: str, completion: str) -> Turn:
        """The turn with this completion, if the tokenizer can encode it."""
        whole = rendering if rendering.startswith(prompt + completion) else None
        turn = Turn(k, prompt, completion, whole)
        if not self._can_be_encoded(turn):
            raise Unsatisfied(["unproven_mask"], k)
        return turn

    def _can_be_encoded(self, turn: Turn) -> bool:
        """Whether the tokenizer can encode the completion, without its unknown token."""
        prompt = self.encode(turn.prompt)
        wanted = self._completion(turn)
        if prompt is None or wanted is None:
            return True
        both = turn.prompt + turn.completion
        return any(
            self.decodes_to(ids, turn.completion, after=turn.prompt) and not self._judge_control("", prompt + ids, both)
            for ids in wanted
        )

    def _cut(self, hidden: Chat, tools: Any, kwargs: Any, k: int, prompt: str, rendering: str) -> int:
        """Where the completion starts in a rendering that does not start with its prompt, found with sentinels."""
        marks = [f"qz{i}zq" for i in range(k + 1)]
        chat = [
            {**message, "content": mark} if (message.get("content") or "").strip() else message
            for message, mark in zip(hidden, marks)
        ]
        try:
            with_marks = self.render(chat, tools, kwargs, prompt=False)
            prompt_marks = self.render(chat[:k], tools, kwargs, prompt=True)
        except ValueError as error:
            raise Unsatisfied(["unproven_mask"], k) from error
        generation = prompt_marks.rpartition(marks[k - 1])[2]
        _, found, after = with_marks.rpartition(marks[k - 1])
        if not found or marks[k - 1] not in prompt_marks or not generation or not after.startswith(generation):
            raise Unsatisfied(["unproven_mask"], k)
        content = hidden[k].get("content") or ""
        for written in dict.fromkeys((content, content.strip(), content.lstrip("\n"), content.lstrip())):
            tail = after[len(generation) :].replace(marks[k], written)
            before = rendering[: len(rendering) - len(tail)]
            if rendering.endswith(tail) and before.endswith(generation) and prompt.endswith(generation):
                return len(before)
        raise Unsatisfied(["unproven_mask"], k)

    def _shows_fields(self, hidden: Chat, tools: Any, kwargs: Any, k: int, completion: str) -> bool:
        """Whether every field of turn k appears in its completion: its text does, and a sentinel in its place would."""
        message = hidden[k]
        for key in ("content", "reasoning_content"):
            text = message.get(key)
            if not isinstance(text, str) or not text.strip():
                continue
            if text.strip() not in completion or not self._shows(hidden, tools, kwargs, k, {**message, key: "qzx9zq"}):
                return False
        for number, call in enumerate(message.get("tool_calls") or ()):
            if not self._shows_call(hidden, tools, kwargs, k, number, call):
                return False
        return True

    def _shows_call(self, hidden: Chat, tools: Any, kwargs: Any, k: int, number: int, call: dict[str, Any]) -> bool:
        """Whether a call's name and arguments are written, and the arguments not as JSON within JSON."""
        arguments = call["function"]["arguments"]
        for function in (
            {**call["function"], "name": "qzx9zq"},
            {**call["function"], "arguments": {"k": "qzx9zq"} if isinstance(arguments, Mapping) else '{"k": "qzx9zq"}'},
        ):
            calls = list(hidden[k]["tool_calls"])
            calls[number] = {**call, "function": function}
            text = self._with(hidden, tools, kwargs, k, {**hidden[k], "tool_calls": calls})
            if text is None or "qzx9zq" not in text or '\\"k\\"' in text or "'k'" in text:
                return False
        return True

    def _shows(self, hidden: Chat, tools: Any, kwargs: Any, k: int, message: dict[str, Any]) -> bool:
        text = self._with(hidden, tools, kwargs, k, message)
        return text is not None and "qzx9zq" in text

    def _with(self, hidden: Chat, tools: Any, kwargs: Any, k: int, message: dict[str, Any]) -> str | None:
        try:
            return self.render([*hidden[:k], message], tools, kwargs, prompt=False)
        except ValueError:
            return None

    # Judging -----------------------------------------------------------------------------------------------------

    def trained(self, messages: Chat, train_on: str) -> list[int]:
        """The turns to train: by `weight` or `train` of the message, else by train_on; never the first turn."""
        answers = [k for k, message in enumerate(messages) if message["role"] == "assistant"]
        chosen = []
        for k in answers:
            own = messages[k].get("weight", messages[k].get("train"))
            wanted = bool(own) if own is not None else train_on == "all" or k == answers[-1]
            if wanted and k > 0:
                chosen.append(k)
        return chosen

    def judge(self, conversation: Mapping[str, Any], result: Any, train_on: str = "all") -> list[str]:
        """What is wrong with a result (samples, or a drop with reason and detail); empty if it is right."""
        original = conversation["messages"]
        tools, kwargs = conversation.get("tools"), conversation.get("chat_template_kwargs")
        trained = self.trained(original, train_on)
        messages = [{key: value for key, value in m.items() if key not in ("weight", "train")} for m in original]
        reason = getattr(result, "reason", None)
        if not trained:
            return [] if reason == "nothing_to_train" else [f"there is nothing to train, but got {result}"]
        if _has_unclear_reasoning(messages, trained, reason):
            return []
        refused: list[Unsatisfied] = []
        wrong: list[list[str]] = []
        proven = 0
        left_out = len(trained) - (0 if reason is not None else sum(len(sample.turns) for sample in result))
        for form, is_needed in self.forms(messages):
            if left_out and not is_needed:
                continue
            if reason == "lost_field" and self.writes_thinking and any(_is_reasoned_inline(form[k]) for k in trained):
                continue  # a template that writes reasoning may not do so in this place: then it is lost, and no text
            turns, unsatisfied = self.turns(form, tools, kwargs, trained)
            refused += unsatisfied
            if not turns:
                continue
            proven += 1
            if reason is not None:
                if not unsatisfied:
                    return [f"unnecessary drop: {reason}: {result.detail}"]
                continue  # the prompts of the others may lack what the template does not write
            places = {index for sample in result for index in sample.turns}
            may_lack = [t for t in turns if self.writes_thinking and _is_reasoned_inline(form[t.index])]
            kept = [turn for turn in turns if turn.index in places or turn not in may_lack]
            if left_out > len(unsatisfied) + len(turns) - len(kept):
                return [f"{left_out} turns are left out, but only {len(unsatisfied)} have to be: {unsatisfied}"]
            problems = self._judge_samples(result, kept)
            if not problems and not left_out:
                return []
            wrong.append(problems)
        if reason is not None:
            return self._judge_drop(result, refused)
        if not proven:
            return [f"got samples, but the definition cannot be satisfied: {refused[0]}"]
        return min(wrong, key=len)  # empty if a form is right

    def _judge_drop(self, drop: Any, refused: list[Unsatisfied]) -> list[str]:
        # What the oracle sees is that the template refuses; that it takes the rest is for tests written by hand.
        reason = "template_error" if drop.reason == "system_not_first" else drop.reason
        right = [r for r in refused if reason in r.reasons or any(reason.startswith(x) for x in r.reasons)]
        if not right:
            return [f"wrong reason: {drop.reason}: {drop.detail}; the oracle says {refused[0]}"]
        if reason == "template_error":
            return []  # the template may name any message up to the turn's own
        if not any(f"turn {r.turn + 1}" in (drop.detail or "") for r in right):
            return [f"wrong turn: {drop.reason}: {drop.detail}; the oracle says {right[0]}"]
        return []

    def _judge_samples(self, samples: Sequence[Any], turns: list[Turn]) -> list[str]:
        problems = []
        places = sorted(index for sample in samples for index in sample.turns)
        if places != [turn.index for turn in turns]:
            problems.append(f"trained turns {places}, expected {[turn.index for turn in turns]}")
            return problems
        by_index = {turn.index: turn for turn in turns}
        for sample in samples:
            ids = [int(id_) for id_ in sample.input_ids]
            labels = [int(label) for label in sample.labels]
            members = [by_index[index] for index in sample.turns]
            problems += self._judge_sample(ids, labels, members)
        if not problems:
            problems += self._judge_splits(samples, turns)
        return problems

    def _judge_sample(self, ids: list[int], labels: list[int], turns: list[Turn]) -> list[str]:
        """Check the invariants of one sample, and its exact ids and labels if they can be derived."""
        if len(ids) != len(labels) or any(label not in (IGNORE, id_) for id_, label in zip(ids, labels)):
            return ["a label is neither its id nor -100"]
        problems = []
        runs = _runs(labels)
        if len(runs) != len(turns):
            return [f"{len(runs)} trained runs for {len(turns)} turns"]
        bos = self.tokenizer.bos_token_id
        if bos is not None and ids[:2] == [bos, bos]:
            problems.append("starts with two BOS tokens")
        for (start, stop), turn in zip(runs, turns):
            name = f"turn {turn.index + 1}"
            expected = self.encode(turn.prompt)
            if expected is not None and ids[:start] != expected:
                problems.append(f"{name}: the ids before it are not encode(P): {self._differ(ids[:start], expected)}")
            if expected is None and not self.decodes_to(ids[:start], turn.prompt):
                problems.append(f"{name}: the ids before it do not decode to P")
            if ids[stop - 1] not in {self.controls.get(end) for end in self.ends}:
                problems.append(f"{name}: does not end with an end-of-turn token: {ids[stop - 1]}")
            if not self.decodes_to(ids[start:stop], turn.completion, after=turn.prompt):
                problems.append(f"{name}: decodes to {self.spell(ids[start:stop])!r}, expected {turn.completion!r}")
            wanted = self._completion(turn)
            if wanted is not None and ids[start:stop] not in wanted:
                problems.append(f"{name}: {self._differ(ids[start:stop], wanted[0])}")
            problems += self._judge_control(name, ids[:stop], turn.prompt + turn.completion)
        last = turns[-1]
        rest = ids[runs[-1][1] :]
        text = "" if last.rendering is None else last.rendering[len(last.prompt + last.completion) :]
        if rest and not self.decodes_to(rest, text, after=last.prompt + last.completion):
            problems.append(f"after turn {last.index + 1} comes {self.spell(rest)!r}, expected {text!r} or nothing")
        return problems

    def _judge_control(self, name: str, ids: list[int], text: str) -> list[str]:
        """Check that no control id comes from message text: the control ids are those that the template wrote."""
        known = set(self.controls.values())
        written = [self.controls[found] for found in self.masks.pattern.findall(text)]
        found = [id_ for id_ in ids if id_ in known]
        return [] if found == written else [f"{name}: control ids {found}, but the template wrote {written}"]

    def _completion(self, turn: Turn) -> list[list[int]] | None:
        """The ids that C_k may have after encode(P_k); if a token straddles the boundary, those of C_k on its own."""
        prompt, both = self.encode(turn.prompt), self.encode(turn.prompt + turn.completion)
        if prompt is None or both is None:
            return None
        alone = self.encode(turn.completion)
        if both[: len(prompt)] == prompt:
            # Where no header stands before an answer ("a" + "'s"), rules that cut words may look over the boundary.
            # Both ways have encode(P) before them, and inference encodes P alone.
            behind = both[len(prompt) :]
            is_other = self.is_byte_level() and alone is not None and alone != behind
            return [behind, alone] if is_other and alone is not None else [behind]
        if self.is_byte_level():
            return None if alone is None else [alone]
        found = [alone] if alone is not None and self.decodes_to(alone, turn.completion, after="x") else []
        for anchor in ("\n", "\t", "\u3002", "\x02", "\u4e00"):
            before, after = self.encode(anchor), self.encode(anchor + turn.completion)
            if before is not None and after is not None and after[: len(before)] == before:
                found.append(after[len(before) :])
        return found or None

    def _judge_splits(self, samples: Sequence[Any], turns: list[Turn]) -> list[str]:
        """Check that each turn is in the longest sample whose ids start with its prompt and completion."""
        by_index = {turn.index: turn for turn in turns}
        problems = []
        for sample in samples:
            for index in sample.turns:
                turn = by_index[index]
                prompt, wanted = self.encode(turn.prompt), self._completion(turn)
                if prompt is None or not wanted:
                    continue
                for other in samples:
                    ids = [int(id_) for id_ in other.input_ids]
                    own = by_index[max(other.turns)]
                    if max(other.turns) <= max(sample.turns) or own.rendering is None:
                        continue
                    fits = any(ids[: len(prompt) + len(ids_)] == prompt + ids_ for ids_ in wanted)
                    if fits and len(own.prompt) >= len(turn.prompt + turn.completion):
                        problems.append(f"turn {index + 1} has its own sample, but belongs into that of {other.turns}")
        return problems

    def _differ(self, got: list[int], wanted: list[int]) -> str:
        at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
        show = self.tokenizer.convert_ids_to_tokens
        return f"at {at} got {show(got[at : at + 6])}, expected {show(wanted[at : at + 6])}"


def _is_certain(inline: re.Match[str]) -> bool:
    """Whether only one mark can end the reasoning at the head of an answer."""
    return inline.group(2).count("</think>") <= inline.group(2).count("<think>")


def _is_reasoned_inline(message: dict[str, Any]) -> bool:
    return _is_reasoned(message) and message.get("reasoning_content") is None


def _is_reasoned(message: dict[str, Any]) -> bool:
    """Whether an answer has reasoning, in its field or in front of its text."""
    inline = INLINE.fullmatch(message.get("content") or "") if message.get("reasoning_content") is None else None
    return bool((message.get("reasoning_content") or (inline.group(1) if inline else "")).strip())


def _without_block(turn: Turn, message: dict[str, Any], named: str) -> Turn:
    """The turn with an empty thinking block as the end of its prompt, up to the text of the message.

    If the text begins with white space, the template's own is what it writes in front of a name: the rendering `named`.
    """
    block = BLOCK.match(turn.completion)
    if block is None:
        return turn
    content = message.get("content") or ""
    rest = turn.completion[block.end() :]
    texts = [text for text in (content, content.strip()) if text.strip() and text in rest]
    cut = block.end() + (rest.index(texts[0]) if texts else len(rest) - len(rest.lstrip()))
    if content[:1].isspace():
        before = named.partition("qzx9zq")[0]
        cut = block.end() + len(before) - len(before.rstrip())
    return Turn(turn.index, turn.prompt + turn.completion[:cut], turn.completion[cut:], turn.rendering)


def _has_unclear_reasoning(messages: Chat, trained: Sequence[int], reason: str | None) -> bool:
    """Whether a drop may be for an answer that begins with <think>, of which the end or the answer is missing.

    It stays text, also in front of a trained turn: a template that looks for the marks then acts on that text.
    """
    for k in range(max(trained) + 1):
        text = messages[k].get("content") or ""
        if messages[k]["role"] != "assistant" or messages[k].get("reasoning_content") is not None:
            continue
        inline = INLINE.fullmatch(text)
        is_unclear = text.lstrip().startswith("<think>") and (inline is None or "</think>" in inline.group(2))
        is_unclear |= text.lstrip().startswith("[THINK]") and "[/THINK]" not in text
        if reason == "unproven_mask" and is_unclear:
            return True
        if reason == "empty_answer" and k in trained and inline is not None and not inline.group(2).strip():
            return True
    return False


def _in_form(message: dict[str, Any], arguments: str, empty: str, split: str) -> dict[str, Any]:
    """A message with its arguments, missing content and inline reasoning in another form."""
    changed = {key: value for key, value in message.items() if value is not None}
    if message.get("tool_calls"):
        changed["tool_calls"] = [_call_in_form(call, arguments) for call in message["tool_calls"]]
        if not message.get("content") and empty != "given":
            changed.pop("content", None)
            if empty == "":
                changed["content"] = ""
    elif message.get("content") is None:
        changed["content"] = ""
    if not changed.get("reasoning_content", "x").strip():
        del changed["reasoning_content"]  # blank reasoning is no reasoning
    if split and message["role"] == "assistant" and message.get("reasoning_content") is None:
        inline = INLINE.fullmatch(message.get("content") or "")
        if inline is not None and "one" in split and "</think>" in inline.group(2):
            inline = None
        if inline is None and "closed" in split:
            inline = CLOSED.fullmatch(message.get("content") or "")
        if inline is not None:
            changed |= {"reasoning_content": inline.group(1).strip("\n")} if inline.group(1).strip() else {}
            changed["content"] = inline.group(2).lstrip("\r\n" if "closed" in split else "\n")
    return changed


def _call_in_form(call: dict[str, Any], form: str) -> dict[str, Any]:
    value = call["function"]["arguments"]
    if form == "object" and isinstance(value, str):
        value = json.loads(value)
    if form == "text" and not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": value}}


def _runs(labels: Sequence[int]) -> list[tuple[int, int]]:
    """Start and stop of each run of trained labels."""
    runs, start = [], None
    for place, label in enumerate([*labels, IGNORE]):
        if label != IGNORE and start is None:
            start = place
        if label == IGNORE and start is not None:
            runs.append((start, place))
            start = None
    return runs
