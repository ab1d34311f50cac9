"""The prompts of a file with the checks on what is answered to them: tried before a model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sftdata.errors import ConfigError, SourceError, pluralize
from sftdata.library.prompts import Prompt, read_prompts
from sfttrain.check.files import context_of
from sfttrain.check.findings import Finding
from sfttrain.config import TrainConfig
from sfttrain.data import Shards
from sfttrain.evaluate.checks import Check, make_checks
from sfttrain.evaluate.settings import EvaluateSettings


@dataclass(frozen=True, slots=True)
class Asked:
    """Prompts, checks, and how answers are generated: the same for any number of models."""

    settings: EvaluateSettings
    prompts: tuple[Prompt, ...] = ()
    checks: tuple[Check, ...] = ()

    def check_room(self, model: str, context: int | None) -> None:
        """Raise SourceError for a prompt that fills the longest context of a model, so that nothing can follow it."""
        for prompt in self.prompts:
            if context is not None and len(prompt.ids) >= context:
                what = f"has {pluralize(len(prompt.ids), 'token')}, and {model} sees {context:,}, so it cannot answer"
                raise SourceError(prompt.where, what, "shorten it, or remove it")

    @property
    def finding(self) -> Finding:
        """What is printed of them before the first step."""
        what = f"{pluralize(len(self.prompts), 'prompt')} of {self.settings.prompts} can be answered"
        if self.checks:
            what += f", and {pluralize(len(self.checks), 'check')} made"
        return Finding("prompts", "pass", what, figures={"prompts": len(self.prompts), "checks": len(self.checks)})


def read_asked(settings: EvaluateSettings, shards: Shards) -> Asked:
    """The prompts and checks of the settings; none where no file is set.

    Raises SourceError for a prompt that cannot be read or rendered, ConfigError for a check that cannot be made, has no
    reference in some row, or has no prompts.
    """
    file = settings.prompts
    prompts = () if file is None else tuple(read_prompts(shards.path, file, like=settings.like))
    checks = tuple(make_checks(settings.checks, prompts))
    if checks and not prompts:
        raise ConfigError("evaluate.checks", "check answers, and there are no prompts", "set evaluate.prompts")
    return Asked(settings, prompts, checks)


def asked_in_run(config: TrainConfig, shards: Shards, model: Any) -> Asked:
    """The prompts and checks of a run whose model, given by its config, has room to answer. Raises as `read_asked`."""
    asked = read_asked(config.evaluate, shards)
    asked.check_room(config.model, context_of(model.get_text_config()))
    return asked
