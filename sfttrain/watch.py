"""Everything that watches over a run, in one place: the proof, the metrics, the stop. Imports torch and trl."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from sfttrain.callbacks import MetricsCallback, Stop, StopCallback
from sfttrain.preflight import ProofCallback
from sfttrain.runs import Run
from sfttrain.trainer import PackedTrainer


@dataclass(frozen=True, slots=True)
class Watch:
    """What watches over a trainer."""

    trainer: PackedTrainer
    place: Run
    proof: ProofCallback
    metrics: MetricsCallback
    stop: Stop

    @staticmethod
    def over(trainer: PackedTrainer, place: Run) -> Watch:
        """Have a trainer watched."""
        screen = sys.stderr
        stop = Stop(screen if trainer.is_world_process_zero() else None)
        dtype = "bfloat16" if trainer.args.bf16 else "float32"
        watch = Watch(
            trainer, place, ProofCallback(trainer, dtype, screen), MetricsCallback(trainer, place, screen), stop
        )
        for callback in (watch.proof, watch.metrics, StopCallback(stop)):
            trainer.add_callback(callback)
        return watch

    @property
    def stopped(self) -> bool:
        """Whether training was stopped before its last step."""
        return self.stop.signum is not None and self.trainer.state.global_step < self.trainer.state.max_steps

    def say(self, text: str) -> None:
        """Tell the user, once for all processes."""
        if self.trainer.is_world_process_zero():
            print(text, file=sys.stderr, flush=True)

    def outcome(self, seconds: float) -> dict[str, Any]:
        """What the run came to, for run.json. Every process must ask."""
        losses, validation = self.metrics.losses, self.metrics.validation_losses
        tokens, trained = self.trainer.tokens, self.trainer.trained_tokens
        return {
            "preflight": self.proof.facts(),
            "steps": self.trainer.state.global_step,
            "epochs": self.trainer.state.epoch,
            "losses": {
                "train_first": losses[0] if losses else None,
                "train_last": losses[-1] if losses else None,
                "validation_first": validation[0] if validation else None,
                "validation_last": validation[-1] if validation else None,
            },
            "tokens": self.place.tokens_before + tokens,
            "trained_tokens": self.place.trained_tokens_before + trained,
            "seconds": round(seconds, 2),
        }
