"""Evidence of one track: calibrated logits over time."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(slots=True)
class Evidence:
    """Log-odds of one face over time.

    ``recent`` follows the last second or so (an exponential mean by time, not by count, so that it does not depend
    on the frame rate) and is what the picture shows; ``mean`` weighs all usable scores alike and is what the
    verdict on the track rests on. Scores of neighbouring frames repeat each other, so they are averaged, never
    added up: a thousand frames of one doubtful picture stay doubtful.

    Attributes:
        count: usable scores so far.
        total: their sum.
        recent: exponential mean, None before the first and after a gap.
        last_s: time of the last score.
    """

    count: int = 0
    total: float = 0.0
    recent: float | None = None
    last_s: float = -math.inf

    def add(self, logit: float, time_s: float, *, time_constant_s: float = 0.7, forget_s: float = 2.0) -> None:
        """Take one calibrated logit, usable by the quality gates.

        Args:
            time_constant_s: age at which a score's share in ``recent`` has fallen to 1/e.
            forget_s: after a longer gap ``recent`` starts anew.
        """
        gap = time_s - self.last_s
        if self.recent is None or gap > forget_s:
            self.recent = logit
        else:
            # Scores with equal timestamps get a small share instead of none.
            share = 1 - math.exp(-gap / time_constant_s) if gap > 0 else 0.05
            self.recent += share * (logit - self.recent)
        self.count += 1
        self.total += logit
        self.last_s = time_s

    @property
    def mean(self) -> float | None:
        """Mean of all usable scores, None before the first."""
        return self.total / self.count if self.count else None

    def state(self) -> dict[str, Any]:
        """The evidence as JSON."""
        return asdict(self) | {"last_s": self.last_s if math.isfinite(self.last_s) else None}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """Evidence from a :meth:`state`."""
        last = state["last_s"]
        return cls(int(state["count"]), state["total"], state["recent"], -math.inf if last is None else last)
