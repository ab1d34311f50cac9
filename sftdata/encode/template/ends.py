"""Where a turn ends: the token at which an inference server stops, found in what a template writes after a turn.

A server stops at the tokenizer's EOS, at the tokens in `eos_token_id` of generation_config.json, and at those that the
settings declare: the stops. A template writes the end of a turn right after it, or only once the next turn follows:

    last answer                   answer before a user turn                      the end
    a<|im_end|>\\n                 a<|im_end|>\\n<|im_start|>user\\n q              <|im_end|>
    a                             a<|assistant_end|><|user_start|>q              <|assistant_end|>, deferred
    a                             a<|user|>\\nq                                   <|user|>, deferred
    a<|return|>                   a<|end|><|start|>user<|message|>q              <|return|>
    a<|END_RESPONSE|><|END_T|>    a<|END_RESPONSE|><|END_T|><|START_T|>q         the one that is a stop, never by place

A token that is none of the stops is taken as the end only if nothing else can be: it is the only special token that the
template writes after a last turn, and behind it an earlier turn has nothing but the header of the next.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sftdata.encode.tokenizer.control import ControlTokens


class TurnEnd(NamedTuple):
    """The end of a turn. If a template writes it once the next turn follows: what it writes before, and from there."""

    token: str
    written: str = ""
    deferred: str = ""  # up to the token; empty if the token is written at once


class Tail(NamedTuple):
    """What a template writes after a turn: after a last one, and after an earlier one up to the text of the next."""

    last: str
    earlier: str | None  # None if the template refuses the next turn


def plain_end(tail: Tail, head: str, stops: Collection[str], control: ControlTokens) -> TurnEnd | None:
    """The end of a plain answer, or None if none is certain. `head` comes before the text of a first user turn."""
    last, earlier = control.find(tail.last), control.find(tail.earlier or "")
    known = [token for token in last if token in stops]
    both = next((token for token in known if token in earlier), None)
    if both is not None:
        return TurnEnd(both)
    special = _special(last, stops, control)
    if known and special[0] == known[0]:
        return TurnEnd(known[0])  # gpt-oss writes another token after an earlier answer
    deferred = _deferred(tail, stops, control)
    if deferred is not None:
        return deferred
    others = [token for token in special or dict.fromkeys(last) if token not in stops]  # EOS may end the document
    return TurnEnd(others[0]) if len(others) == 1 and _is_closing(others[0], earlier, head, stops, control) else None


def call_end(tail: Tail, in_two: Sequence[str], stops: Collection[str], control: ControlTokens) -> TurnEnd | None:
    """The end of a turn with tool calls, or None if none is certain. `in_two` are the tokens of a turn of two calls.

    It is a stop, or else the only special token that is written once however many calls there are.
    """
    last = control.find(tail.last)
    known = next((token for token in last if token in stops), None)
    if known is not None:
        return TurnEnd(known)
    deferred = _deferred(tail, stops, control)
    if deferred is not None:
        return deferred
    once = [token for token in _special(last, stops, control) if in_two.count(token) <= 1]
    return TurnEnd(once[0]) if len(once) == 1 else None


def candidate(tail: Tail, control: ControlTokens) -> str | None:
    """The token to name where no end is certain: the last special one that a template writes after a last turn, or else
    the first one that it writes before the next.
    """
    last, earlier = (_special(control.find(text), (), control) for text in (tail.last, tail.earlier or ""))
    return last[-1] if last else next(iter(earlier or control.find(tail.last)), None)


def _deferred(tail: Tail, stops: Collection[str], control: ControlTokens) -> TurnEnd | None:
    """The end that only an earlier turn has: a stop, the first token there, behind nothing but white space."""
    if tail.earlier is None or not tail.earlier.startswith(tail.last):
        return None
    rest = tail.earlier[len(tail.last) :]
    token = next(iter(control.find(rest)), None)
    if token is None or token not in stops or rest.partition(token)[0].strip():
        return None
    return TurnEnd(token, tail.last, rest.partition(token)[0] + token)


def _is_closing(token: str, earlier: Sequence[str], head: str, stops: Collection[str], control: ControlTokens) -> bool:
    """Whether nothing but the header of the next turn follows this token behind an earlier answer.

    A token that stands only after a last answer closes it too.
    """
    if token not in earlier:
        return not any(other in stops for other in earlier)
    rest = list(earlier[earlier.index(token) + 1 :])
    return not rest or control.find(head)[-len(rest) :] == rest


def _special(tokens: Sequence[str], stops: Collection[str], control: ControlTokens) -> list[str]:
    """Those of the tokens that are special or stops, each once."""
    special = {token.content for token in control.tokens if token.special}
    return [token for token in dict.fromkeys(tokens) if token in special or token in stops]
