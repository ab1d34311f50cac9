"""The answers to the prompts of a file, at each evaluation of a run. Imports torch and transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object
from transformers import TrainerCallback

from sftdata.errors import ConfigError
from sftdata.files.atomic import output_errors, write_bytes
from sftdata.library.prompts import Prompt
from sftdata.view.decoder import Decoder
from sfttrain.data import Shards
from sfttrain.evaluate.asked import Asked
from sfttrain.evaluate.checks import Outcome, Tally, run_checks
from sfttrain.evaluate.generate import generate
from sfttrain.evaluate.places import TOKENIZER_JSON
from sfttrain.run_folder import RunFolder, read_metrics
from sfttrain.say import say

if TYPE_CHECKING:
    from sfttrain.trainer.packed import PackedTrainer


class Answering:
    """Has any number of models answer the same prompts, and checks their answers."""

    def __init__(self, asked: Asked, shards: Shards, seed: int) -> None:
        self._settings = asked.settings
        self._seed = seed
        self._end_ids = shards.manifest.tokenizer.end_of_turn_ids
        self._decoder = Decoder.from_file(shards.tokenizer / TOKENIZER_JSON)
        self.prompts, self.checks = asked.prompts, asked.checks

    def texts(self, model: Any, prompts: Sequence[Prompt]) -> list[str]:
        """What the model answers to some of the prompts."""
        answers = generate(
            model,
            [prompt.ids for prompt in prompts],
            self._end_ids,
            max_new_tokens=self._settings.max_new_tokens,
            temperature=self._settings.temperature,
            seed=self._seed,
        )
        return [self._decoder.decode(ids).strip() if ids else "" for ids in answers]

    def checked(self, answers: Sequence[str]) -> tuple[list[dict[str, Outcome]], list[Tally]]:
        """The outcomes of the checks for the answers to all prompts, and how many pass."""
        return run_checks(self.checks, self.prompts, answers)


class AnswersCallback(TrainerCallback):  # type: ignore[misc]
    """Writes answers.jsonl and the tallies of checks to metrics.jsonl at each evaluation; without a validation split,
    after training.
    """

    def __init__(self, trainer: PackedTrainer, folder: RunFolder, answering: Answering) -> None:
        self._trainer = trainer
        self._folder = folder
        self._first_step = folder.first_step  # read now: the checkpoint may be removed later
        self._answering = answering
        self.last: list[Tally] = []
        self._tallies: dict[int, list[Tally]] = {}  # by step

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._answer(args, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._trainer.eval_dataset is None and state.global_step >= state.max_steps:
            self._answer(args, state.global_step)

    def use(self, step: int) -> None:
        """Have the tallies of a step as the last ones; the model, which is the one of that step, answers again if they
        are not known, as in a run that is continued after its last evaluation. All processes must call it.
        """
        if step in self._tallies:
            self.last = self._tallies[step]
        else:
            self._answer(self._trainer.args, step)

    def _answer(self, args: Any, step: int) -> None:
        """Answer the prompts, each process its part."""
        answering, trainer = self._answering, self._trainer
        if not answering.prompts:
            return
        own = answering.prompts[args.process_index :: args.world_size]
        model = trainer.accelerator.unwrap_model(trainer.model)
        found = list(
            zip(range(args.process_index, len(answering.prompts), args.world_size), answering.texts(model, own))
        )
        answers = [text for _, text in sorted(gather_object(found) if args.world_size > 1 else found)]
        outcomes, self.last = answering.checked(answers)
        self._tallies[step] = self.last
        if not self._folder.is_main:
            return
        lines = []
        for prompt, answer, checks in zip(answering.prompts, answers, outcomes, strict=True):
            line = {"step": step, "where": prompt.where, "messages": prompt.messages, "answer": answer}
            passed = {name: one.passed for name, one in checks.items()}
            lines.append({**line, "reference": prompt.reference, "checks": passed})
        self._append(self._folder.answers, "answer", lines)
        if self.last:
            shares = {one.name: one.share for one in self.last}
            self._append(self._folder.metrics, "checks", [{"step": step, "checks": shares}])
        for one in self.last:
            say(f"step {step:,}: {one.in_words}")

    def _append(self, path: Path, key: str, lines: list[dict[str, Any]]) -> None:
        """Append the lines of a step, which have this key, unless the run that is continued has written all of them.

        It may have been killed after this step, while or after it wrote them. Raises OutputError.
        """
        step = lines[0]["step"]
        with output_errors(path):
            if self._folder.resume_from is not None and step <= self._first_step:
                known = read_metrics(path)
                kept = [line for line in known if line["step"] != step or key not in line]
                if len(known) - len(kept) == len(lines):
                    return
                write_bytes(path, "".join(json.dumps(line) + "\n" for line in kept).encode())
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)


def answer_at_evaluations(
    trainer: PackedTrainer, folder: RunFolder, asked: Asked, shards: Shards, seed: int
) -> AnswersCallback:
    """Have the trainer answer the prompts at each evaluation. Raises ConfigError where the weights are split over
    processes, which cannot generate together here.
    """
    if asked.prompts and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        what = "a model that is split over processes does not answer prompts during a run"
        raise ConfigError("evaluate.prompts", what, "leave it out, and use `sfttrain eval` after the run")
    callback = AnswersCallback(trainer, folder, Answering(asked, shards, seed))
    trainer.add_callback(callback)
    return callback
