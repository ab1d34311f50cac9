"""Columns that hold several answers to one question, and the column that says which of them is the right one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sftdata.read.columns.words import is_about, is_preferred, is_rejected, stems, words_of

# A column with such a name may say which of the choices is the answer, with a value such as 2, B, (b) or model_b.
_PICKS = {
    *("answer", "label", "key", "gold", "correct", "target", "best", "chosen", "preferred", "preference", "winner"),
    *("better", "safer", "cop", "ans"),
}
_PICK = re.compile(r"\(?(?:(?:model|response|answer|option|choice)[_ -]?)?(?:[A-Za-z]|\d{1,2})(?:\.0)?[).]?")
_CHOICES = {"choice", "option", "ending", "candidate", "alternative"}
# A list with such a name holds choices; columns that end in one may each be an answer.
_SEVERAL = {"answer", "response", "completion", "output", "reply", "generation"}
_NUMBERED = re.compile(r"(.*[_. -]|)[A-Ea-e]|(.*?)\d{1,2}|(.*[a-z])[A-E]|(op)[a-e]")  # option1, ref_B, C
_NOT_NUMBERED = {"question", "sentence", "premise", "text", "prompt", "input", "q"}


def picked_from(row: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """The column that says which of the choices is the answer, by a number or a letter, and the columns of the choices;
    None if there are none.
    """
    choices = [str(key) for key, value in row.items() if _is_choices(str(key), value)]
    if not choices:
        choices = [name for names in _numbered(row) for name in names]
    flags = _families([str(key) for key, value in row.items() if not isinstance(value, (str, list, dict))])
    for key, value in row.items():
        picks = _PICK.fullmatch(value.strip()) if isinstance(value, str) else _is_number(value)
        is_one = str(key) not in choices and not any(str(key) in names for names in flags)
        if picks and choices and is_one and stems(str(key)) & _PICKS:
            return str(key), choices
    return None


def several_answers(row: Mapping[str, Any]) -> list[str]:
    """The columns of answers of which none is plainly the one to train on, such as response_0 and response_1, or
    human_answers and chatgpt_answers; an empty list if there are none.
    """
    for names in _numbered(row):
        if all(stems(name) & _SEVERAL for name in names):
            return names
    given = [str(key) for key, value in row.items() if isinstance(value, (str, list)) and value]
    ends = [name for name in given if stems((words_of(name) or [""])[-1]) & _SEVERAL and not is_rejected(name)]
    if any(is_preferred(name) or len(words_of(name)) == 1 for name in ends):
        return []
    return ends if len(ends) > 1 else []


def numbered_columns(row: Mapping[str, Any]) -> list[str]:
    """The columns that differ in a number or a letter only, each with a text or more: none of them is the answer."""
    return [name for names in _numbered(row) for name in names]


def _is_choices(name: str, value: object) -> bool:
    """Whether one column holds all choices."""
    if not isinstance(value, (str, list, dict)) or not value or is_about(name):
        return False
    words = stems(name)
    if isinstance(value, str) and _NUMBERED.fullmatch(name) and words & _CHOICES:
        return False  # one of several
    return bool(words & _CHOICES or (isinstance(value, list) and len(value) > 1 and words & _SEVERAL))


def _numbered(row: Mapping[str, Any]) -> list[list[str]]:
    """The columns with texts or more that differ in a number or a letter only, by what they have in common."""
    given = [str(key) for key, value in row.items() if isinstance(value, (str, list, dict)) and value]
    return _families([name for name in given if not stems(name) & _NOT_NUMBERED and not is_rejected(name)])


def _families(names: list[str]) -> list[list[str]]:
    """The names that differ in a number or a letter only, two or more of each kind."""
    families: dict[str, list[str]] = {}
    for name in names:
        if (match := _NUMBERED.fullmatch(name)) is not None:
            stem = next(stem for stem in match.groups() if stem is not None)
            if not is_about(stem):
                families.setdefault(stem, []).append(name)
    return [found for found in families.values() if len(found) > 1]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
