"""Ready-made sets of rules, by the name that `[[rule]] preset = "..."` gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from monitor.rules.rule import Rule

#: The tutorial's own thresholds: K-S above 0.5, its symmetric KL (our `psi`, in nats) above 1.
BOXKITE_KS, BOXKITE_KL = 0.5, 1.0


def boxkite(alpha: float = 0.00015, min_samples: int = 50) -> tuple[Rule, ...]:
    """Rules of Boxkite's dashboard: on the predictions, over 30 minutes, `for` 5 minutes, over as soon as it is gone.

    They are meant to be evaluated every minute. Unlike there, an empty or small window is no alert, and both sides are
    counted over the same bins. `ks` applies to a numeric prediction, `psi` to any.
    """
    common = Rule(
        "",
        columns=("role:prediction",),
        window=1800.0,
        alpha=alpha,
        min_samples=min_samples,
        hold=300.0,
        keep_firing=0.0,
    )
    return (
        replace(common, name="boxkite-ks", statistic="ks", floor=BOXKITE_KS),
        replace(common, name="boxkite-kl", statistic="psi", floor=BOXKITE_KL),
    )


PRESETS: dict[str, Callable[..., tuple[Rule, ...]]] = {"boxkite": boxkite}
