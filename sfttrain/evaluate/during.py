"""What happens at the evaluations of a run: figures, answers, early stopping, the best model. Imports transformers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from sftdata.errors import ConfigError, pluralize
from sfttrain.checkpoints import TRAINER_STATE, is_complete
from sfttrain.config import TrainConfig
from sfttrain.data import VALIDATION, Shards
from sfttrain.evaluate.answers import AnswersCallback, answer_at_evaluations
from sfttrain.evaluate.asked import Asked
from sfttrain.evaluate.places import load_places
from sfttrain.run_folder import RunFolder
from sfttrain.say import say

if TYPE_CHECKING:
    from sfttrain.trainer.packed import PackedTrainer


class PatienceCallback(TrainerCallback):  # type: ignore[misc]
    """Ends training after this number of evaluations in a row without a lower validation loss.

    It goes by the evaluations in the trainer's state, which a checkpoint has; transformers' EarlyStoppingCallback
    counts for itself, and would begin anew in a run that is continued.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        waited = evaluations_since_lowest(validation_losses(state.log_history))
        if waited >= self._patience and state.global_step < state.max_steps:
            control.should_training_stop = True
            if state.is_world_process_zero:
                say(f"step {state.global_step:,}: stopped, no lower loss in {pluralize(waited, 'evaluation')}")


class BestCallback(TrainerCallback):  # type: ignore[misc]
    """Has the best model of a run that is continued where its checkpoint is now.

    The trainer's state has it by the path at that time, and Trainer would save the last model where nothing is there.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.best_global_step:
            return
        place = self._folder.checkpoint(state.best_global_step)
        if is_complete(place):
            state.best_model_checkpoint = str(place)
            return
        if state.is_world_process_zero:
            say(f"note   {place}, the best model so far, is gone: the best of the steps from here on is saved")
        state.best_metric = state.best_model_checkpoint = state.best_global_step = None


def validation_losses(log_history: list[dict[str, Any]]) -> list[float]:
    """The loss of each evaluation in the state of a trainer."""
    return [float(line["eval_loss"]) for line in log_history if "eval_loss" in line]


def evaluations_since_lowest(losses: list[float]) -> int:
    """How many evaluations came after the first of the lowest loss."""
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


class Evaluations:
    """The evaluations of a run."""

    def __init__(self, trainer: PackedTrainer, config: TrainConfig, answers: AnswersCallback) -> None:
        self._trainer = trainer
        self._keeps_best = config.keep == "best"
        self._answers = answers

    def finish(self, last_validated_step: int | None) -> None:
        """Evaluate the trained model, if that was not done after its last step. Of several, the best is judged already.

        All processes must call it.
        """
        state = self._trainer.state
        best = state.best_global_step if self._keeps_best else None
        is_judged = self._trainer.eval_dataset is None or last_validated_step == state.global_step
        if best and best != state.global_step:
            self._answers.use(best)
        elif is_judged:
            self._answers.use(state.global_step)
        else:
            self._trainer.evaluate()

    def summary(self) -> dict[str, Any]:
        """For run.json: which model is saved, and how its answers pass the checks."""
        state = self._trainer.state
        best = {"step": state.best_global_step, "validation_loss": state.best_metric} if self._keeps_best else None
        return {"best": best, "answers": [one.as_json() for one in self._answers.last]}


def evaluate_during(
    trainer: PackedTrainer, config: TrainConfig, shards: Shards, folder: RunFolder, asked: Asked
) -> Evaluations:
    """Prepare what a run does at its evaluations. Raises ConfigError where it cannot be done."""
    if trainer.eval_dataset is not None:
        trainer.places = load_places(shards, VALIDATION)
    answers = answer_at_evaluations(trainer, folder, asked, shards, config.seed)
    if config.patience is not None:
        trainer.add_callback(PatienceCallback(config.patience))
        trainer.is_over = _is_out_of_patience(folder, config.patience)
    if config.keep == "best":
        trainer.add_callback(BestCallback(folder))
    return Evaluations(trainer, config, answers)


def _is_out_of_patience(folder: RunFolder, patience: int) -> bool:
    """Whether the run that is continued had ended by this patience, and was killed before its model was saved.

    Raises ConfigError where its model was saved: nothing is left to do.
    """
    if folder.resume_from is None:
        return False
    state = json.loads((folder.resume_from / TRAINER_STATE).read_bytes())
    waited = evaluations_since_lowest(validation_losses(state["log_history"]))
    if waited >= patience and folder.is_finished:
        what = f"ended with no lower loss in {pluralize(waited, 'evaluation')}, so nothing is left to train"
        raise ConfigError(str(folder.resume_from), what, "raise patience, or leave it out, to train further")
    return waited >= patience
