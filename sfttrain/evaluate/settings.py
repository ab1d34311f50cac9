"""The settings of `evaluate`: prompts that are answered at each evaluation, and checks on the answers."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator, model_validator

from sftdata.settings.groups import Settings

KINDS = ("exact", "regex", "json_schema", "function")


class CheckSettings(Settings):
    """A check on each answer: one of exact, regex, json_schema and function."""

    name: str | None = Field(None, description="what the check is called; by default its kind")
    exact: str | None = Field(
        None, description="the answer is this column of the prompt's row; reference: the answer in the row itself"
    )
    regex: str | None = Field(None, description="a regular expression of Python that is found in the answer")
    json_schema: dict[str, Any] | str | None = Field(
        None, description="a JSON schema, or its file, that the answer as JSON is valid against"
    )
    function: str | None = Field(
        None, description="module:function, called with the answer and the row; true where it passes"
    )
    at_least: float | None = Field(None, ge=0, le=1, description="the share of answers that must pass")

    @field_validator("regex")
    @classmethod
    def _check_regex(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression ({error})") from error
        return value

    @field_validator("function")
    @classmethod
    def _check_function(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w.]+:\w+", value):
            raise ValueError(f"is {value!r}; write it as module:function")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> CheckSettings:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "has no kind"
            raise ValueError(f"{what}; a check is one of {', '.join(KINDS)}")
        return self

    @property
    def shown_name(self) -> str:
        """The name, or the kind."""
        return self.name or next(kind for kind in KINDS if getattr(self, kind) is not None)


class EvaluateSettings(Settings):
    """What a model writes for the prompts of a file, at each evaluation."""

    prompts: str | None = Field(
        None, description="a file of chats, in any format that `sftdata prepare` reads, that the model answers"
    )
    like: str | None = Field(
        None, description="the source of the dataset whose settings read the prompts, where sources differ"
    )
    max_new_tokens: int = Field(256, ge=1, description="the most tokens of an answer")
    temperature: float = Field(0.0, ge=0, description="0: always the most likely token; above, drawn by the seed")
    checks: tuple[CheckSettings, ...] = Field((), description="checks on each answer")

    @model_validator(mode="after")
    def _checks_have_answers(self) -> EvaluateSettings:
        names = [one.shown_name for one in self.checks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two checks are called {twice!r}; give them a `name`")
        return self
