"""How good is the rate that `sfttrain find-lr` finds? Beside it, whole runs with each rate of its grid.

    python docs/results/rates.py TRAIN.yaml OUT [KEY=VALUE]...

The settings are those of `sfttrain run`; the shards need a validation split, whose loss at the end of each run decides.
Writes OUT/rates.json. A stopped measurement is continued by the same command.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def main(config: str, out: Path, settings: list[str]) -> None:
    """Find a rate, run the grid, and compare."""
    found = find(config, out, settings)
    rates = [float(rate) for rate in found["sweep"]["plan"]["rates"]]
    losses = {rate: run_loss(config, out / f"{rate:g}", rate, settings) for rate in rates}
    best = min((rate for rate in rates if losses[rate] is not None), key=lambda rate: losses[rate] or 0.0)
    figures = {
        "recommended": found["recommendation"]["rate"],
        "best_of_grid": best,
        "factor": round(max(found["recommendation"]["rate"] / best, best / found["recommendation"]["rate"]), 2),
        "sweep_steps": found["steps"],
        "losses": {f"{rate:g}": loss for rate, loss in losses.items()},
    }
    (out / "rates.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


def find(config: str, out: Path, settings: list[str]) -> dict[str, Any]:
    """What find-lr recommends."""
    command = [sys.executable, "-m", "sfttrain", "find-lr", config, *settings, "--out", str(out / "find_lr")]
    subprocess.run(command, check=True)
    found: dict[str, Any] = json.loads((out / "find_lr" / "find_lr.json").read_text(encoding="utf-8"))
    return found


def run_loss(config: str, out: Path, rate: float, settings: list[str]) -> float | None:
    """The validation loss at the end of a whole run with this rate; None where the run diverged."""
    metrics, kept = out / "metrics.jsonl", out / "loss.json"
    if not kept.exists():
        command = [sys.executable, "-m", "sfttrain", "run", config, *settings, f"learning_rate={rate:g}"]
        done = subprocess.run([*command, f"out={out}", "overwrite=true"])
        lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        losses = [line["validation_loss"] for line in lines if "validation_loss" in line]
        kept.write_text(json.dumps(losses[-1] if done.returncode == 0 else None), encoding="utf-8")
    loss: float | None = json.loads(kept.read_text(encoding="utf-8"))
    return loss


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
