"""How fast a run is: tokens per second since the last step that was logged, and the time that is left."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

RECENT = 20  # logged steps that the time left goes by


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured between two logged steps, and what follows for the rest of the run."""

    tokens_per_second: float
    trained_tokens_per_second: float
    seconds_left: float


class Pace:
    """Measures by a clock that a caller reads. The first interval also warms up: it counts only while it is alone."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self._is_warm = False
        self._since, self._steps, self._tokens, self._trained = 0.0, 0, 0, 0

    def restart(self, now: float) -> None:
        """Leave out the time until now, which a validation took."""
        self._since = now

    def begin(self, now: float, steps: int) -> None:
        """A run begins after this number of steps."""
        self._since, self._steps = now, steps

    def measure(self, now: float, *, step: int, max_steps: int, tokens: int, trained: int) -> Speed:
        """The speed since the last call; `tokens` and `trained` are those of the run so far."""
        seconds = max(now - self._since, 1e-9)
        if len(self._recent) == 1 and not self._is_warm:
            self._recent.clear()
            self._is_warm = True
        self._recent.append((max(step - self._steps, 1), seconds))
        steps_timed, timed = (sum(one[side] for one in self._recent) for side in (0, 1))
        speed = Speed(
            (tokens - self._tokens) / seconds,
            (trained - self._trained) / seconds,
            timed / steps_timed * max(max_steps - step, 0),
        )
        self._since, self._steps, self._tokens, self._trained = now, step, tokens, trained
        return speed
