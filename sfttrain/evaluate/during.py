"""What happens at the evaluations of a run: figures, answers, early stopping, the best model. Imports transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from sftdata.errors import pluralize
from sfttrain.config import TrainConfig
from sfttrain.data import VALIDATION, Shards
from sfttrain.evaluate.answers import AnswersCallback, answer_at_evaluations
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
        losses = [float(line["eval_loss"]) for line in state.log_history if "eval_loss" in line]
        waited = evaluations_since_lowest(losses)
        if waited >= self._patience and state.global_step < state.max_steps:
            control.should_training_stop = True
            if state.is_world_process_zero:
                say(f"step {state.global_step:,}: stopped, no lower loss in {pluralize(waited, 'evaluation')}")


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
        if best and best != state.global_step:
            self._answers.use(best)
        elif self._trainer.eval_dataset is not None and last_validated_step != state.global_step:
            self._trainer.evaluate()

    def summary(self) -> dict[str, Any]:
        """For run.json: which model is saved, and how its answers pass the checks."""
        state = self._trainer.state
        best = {"step": state.best_global_step, "validation_loss": state.best_metric} if self._keeps_best else None
        return {"best": best, "answers": [one.as_json() for one in self._answers.last]}


def evaluate_during(trainer: PackedTrainer, config: TrainConfig, shards: Shards, folder: RunFolder) -> Evaluations:
    """Prepare what a run does at its evaluations. Raises SftDataError where prompts or checks cannot be used."""
    if trainer.eval_dataset is not None:
        trainer.places = load_places(shards, VALIDATION)
    answers = answer_at_evaluations(trainer, folder, config.evaluate, shards, config.seed)
    if config.patience is not None:
        trainer.add_callback(PatienceCallback(config.patience))
    return Evaluations(trainer, config, answers)
