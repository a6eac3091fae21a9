"""What an evaluation answers: one result per column and statistic, with all that explains it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal, NamedTuple

from monitor.clock import iso
from monitor.columns.column import Kind, Role
from monitor.words import apart, number, percent

State = Literal["ok", "warning", "drift", "insufficient data", "no traffic", "no reference", "error"]
STATES: tuple[State, ...] = ("drift", "warning", "error", "no reference", "insufficient data", "no traffic", "ok")

#: Begins the reason of a window that is `insufficient data` because a part of it is not there.
PARTIAL = "partial window"

#: Name of a model that the configuration gives none.
MODEL = "model"

#: Name of the series of all of a model's predictions.
ALL = "all"


class AlertKey(NamedTuple):
    """What an alert is about: one rule on one column of one series of a model, by name, as it goes on over versions."""

    rule: str
    model: str
    series: str
    role: Role
    column: str


class Subject(NamedTuple):
    """Whose counts were judged: a model by name and version, and which of its series."""

    model: str = MODEL
    version: str = ""
    series: str = ALL

    @property
    def title(self) -> str:
        """Name and version of the model; the version alone if it has no name.

        >>> Subject("churn", "v1").title, Subject(version="v1").title
        ('churn v1', 'v1')
        """
        return self.version if self.model == MODEL else f"{self.model} {self.version}"

    def alert(self, rule: str, role: Role, column: str) -> AlertKey:
        """Key of the alert of a rule on one of its columns."""
        return AlertKey(rule, self.model, self.series, role, column)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, [start, end), in seconds since 1970 UTC.

    >>> Span(0.0, 3600.0)
    <Span 1970-01-01T00:00:00Z to 1970-01-01T01:00:00Z>
    """

    start: float
    end: float

    def __repr__(self) -> str:
        return f"<Span {iso(self.start)} to {iso(self.end)}>"

    def to_json(self) -> dict[str, str]:
        """Return both ends in ISO 8601, UTC."""
        return {"start": iso(self.start), "end": iso(self.end)}


@dataclass(frozen=True, slots=True)
class Shift:
    """How one bin moved: its share of the reference and of the test window, both in [0, 1]."""

    label: str
    reference: float
    test: float


Worse = Literal["worse", "estimate worse"]

#: What kind of change a sentence tells: mean, median or categories moved; the spread changed; rows of one range of
#: values became more or fewer; unseen values; values outside of the range seen; one value took over; missing values;
#: no predictions came; performance became worse, by outcomes or as it is estimated.
Change = (
    Literal["moved", "spread", "shape", "new value", "out of range", "took over", "missing", "unchanged", "no traffic"]
    | Worse
)


@dataclass(frozen=True, slots=True)
class Direction:
    """What changed in a column: the sentence, and what it rests on.

    `text`: "mean was 42, now 379 (27 sd)". `names`: the values or ranges that it names: unseen values, the value that
    most rows have now, categories that moved. `before`, `after`: the two numbers that it tells first, in the column's
    own unit, or shares in [0, 1].

    >>> Direction("mean was 42, now 379 (27 sd)")
    <Direction moved: mean was 42, now 379 (27 sd)>
    """

    text: str
    change: Change = "moved"
    names: tuple[str, ...] = ()
    before: float | None = None
    after: float | None = None

    def __repr__(self) -> str:
        return f"<Direction {self.change}: {self.text}>"


#: The smallest rise of the mean loss that matters, and one that must be ruled out before a drift is called harmless,
#: as parts of the mean loss on held-out rows; and the largest share of rows of which nothing may be known for that.
HARM_FLOOR, RULED_OUT, UNKNOWN = 0.05, 0.25, 0.05

#: The largest estimate of a rise, as such a part, that is called harmless if chance may explain it.
DOUBTFUL = 0.1

#: What an estimate of harm rests on: the mean of the predictions need not have moved with it.
ESTIMATE = " (estimated from this column alone; others may offset it)"

Effect = Literal["harmful", "harmless", "unknown"]


def size_of(change: float, share: bool) -> str:
    """Write the size of a change: of a share in points."""
    return f"{number(100 * abs(change), 2)} points" if share else number(abs(change))


@dataclass(frozen=True, slots=True)
class Harm:
    """What the shift of one column does to the model, if only it had moved and the rest followed as it used to.

    `loss`: rise of the mean loss, in its own unit, with its standard error. `answer`: rise of the mean answer, in the
    unit of the prediction. `unknown`: share of the rows in bins that no held-out row was in, of which nothing is known.
    `usual`: mean loss on held-out rows. `answer_floor`: smallest rise of the answer that is named. `name`: of the loss.
    `of`: what the answer is, "mean prediction" or "share of yes". `came`: the loss is what came true, by outcomes, and
    the shift that of the errors. `whole`: the shift is from the training data, so the loss began at `usual`.
    `filled`: most rows have one number, perhaps in place of lost ones, so the rest need not follow it as it used to.
    `importance`: of the column for the model, as a part of that of all columns; None if it was not measured.
    """

    loss: float
    loss_error: float
    answer: float
    answer_error: float
    unknown: float
    usual: float = 0.0
    answer_floor: float = 0.0
    name: str = "loss"
    of: str = "mean prediction"
    came: bool = False
    whole: bool = True
    importance: float | None = None
    filled: bool = False

    @property
    def effect(self) -> Effect:
        """Whether the loss rises by more than chance and than the floor.

        Harmless only if a large rise is ruled out, and the likeliest one is small, even if chance may explain it.
        """
        if self.loss > 2 * self.loss_error and self.loss > HARM_FLOOR * self.usual:
            return "harmful"
        unsure = self.loss > DOUBTFUL * self.usual or self.loss + 2 * self.loss_error > RULED_OUT * self.usual
        return "unknown" if unsure or self.filled or self.unknown > UNKNOWN else "harmless"

    @property
    def moves(self) -> bool:
        """Whether the mean answer changes by more than chance and than the floor: wrong if the column's values are."""
        return abs(self.answer) > max(2 * self.answer_error, self.answer_floor)

    @property
    def text(self) -> str:
        """Say whether it is harmful, how that is known, and by how much.

        >>> Harm(6.7, 1.0, 0.0, 1.0, 0.0, 41.2).text
        'harmful (estimated from this column alone; others may offset it): loss was 41.2, would be 47.9'
        >>> Harm(0.04, 0.01, -0.09, 0.01, 0.0, 0.1, 0.0, "error rate", "share of yes", whole=False).text.split(": ")[1]
        'error rate would rise by 4 points; share of yes -9 points'
        >>> Harm(0.1, 1.0, -30.5, 5.4, 0.0, 41.2, 7.7).text.split(": ")[1]
        'loss stays near 41.2 (43.3 at most); mean prediction -30.5, which is an error if its values are wrong'
        >>> Harm(-3.0, 1.0, -30.5, 5.4, 0.0, 41.2, 7.7).text.split(": ")[1]
        'loss would not rise; mean prediction -30.5, which is an error if its values are wrong'
        >>> Harm(0.1, 9.0, 0.0, 0.01, 0.0, 41.2).text
        'harm unknown: loss was 41.2, would be 59.3 at most; too few held-out rows to tell'
        >>> Harm(4.2, 2.5, 0.0, 0.01, 0.0, 41.2).effect, Harm(4.0, 2.5, 0.0, 0.01, 0.0, 41.2).effect
        ('unknown', 'harmless')
        >>> Harm(0.1, 1.0, 0.0, 0.0, 0.12, 41.2).text
        'harm unknown: 12 % of the rows have values that the model was never tested on'
        >>> Harm(-0.1, 1.0, 0.0, 0.0, 0.0, 41.2, filled=True).text
        'harm unknown: most rows have one value, which may stand for lost ones'
        >>> Harm(6.7, 1.0, 0.0, 0.0, 0.0, 41.2, came=True).text
        'harmful (measured): loss was 41.2, now 47.9'
        """
        known, rate = self.effect != "unknown", self.name == "error rate"
        write, digits = (percent, 2) if rate else (number, 3)
        if self.came:
            much = f"{self.name} {apart(self.usual, self.usual + self.loss, write, digits)}"
            return f"{self.effect} (measured): {much}" if known else f"harm unknown: {much}, which could be chance"
        # What is harmless, or unknown, is so because of how much the loss rises at most.
        harmless = self.effect == "harmless"
        rise = max(self.loss + 2 * self.loss_error * (self.effect != "harmful"), 0.0)
        much = f"would {'hardly rise, by at most' if harmless else 'rise by'} {size_of(rise, rate)}"
        if not rise:
            much = "would not rise"
        elif self.whole:
            say = "stays near {} ({} at most)" if harmless else "was {}, would be {}"
            much = apart(self.usual, self.usual + rise, write, digits, say)
        estimate = f"{self.effect}{ESTIMATE}: {self.name} {much}"
        untested = f"{percent(self.unknown)} of the rows have values that the model was never tested on"
        why = (
            "most rows have one value, which may stand for lost ones"
            if self.filled
            else untested * (self.unknown > UNKNOWN)
        )
        answer = ""
        if self.moves:
            size = size_of(self.answer, self.of != "mean prediction")
            answer = f"{'' if known else 'estimated '}{self.of} {'-' if self.answer < 0 else '+'}{size}"
            answer += ", which is an error if its values are wrong" * harmless
        few = f"{self.name} {much} at most; too few held-out rows to tell" if self.whole else "too few held-out rows"
        parts = (estimate, answer, why) if known else (f"harm unknown: {why or few}", answer)
        return "; ".join(filter(None, parts))

    @property
    def brief(self) -> str:
        """Say it in a list of many columns: "harmful, mean error +6.7", "harm unknown"."""
        much = f"harmful, {self.name.partition(' (')[0]} +{size_of(self.loss, self.name == 'error rate')}"
        return {"harmful": much, "unknown": "harm unknown"}.get(self.effect, "harmless")

    def to_json(self) -> dict[str, Any]:
        """Return its numbers, and what they come to."""
        names = ("loss", "loss_error", "answer", "answer_error", "unknown", "importance")
        return {"effect": self.effect, **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class Explanation:
    """Explains a result on demand: which way its column moved, in which bins, and with what harm. Empty by default."""

    given_direction: Direction | None = None
    bins: tuple[Shift, ...] = ()
    given_harm: Harm | None = None

    def direction(self, _result: DriftResult) -> Direction | None:
        """Which way it moved; None if there is no verdict."""
        return self.given_direction

    def contributions(self, _result: DriftResult) -> tuple[Shift, ...]:
        """The bins that moved most, the largest move first."""
        return self.bins

    def harm(self, _result: DriftResult) -> Harm | None:
        """What the shift does to the model; None if that is not known."""
        return self.given_harm


NOTHING = Explanation()


class DriftResult(NamedTuple):
    """The verdict on one column by one statistic under one rule.

    `value > critical` and `value > floor` make a drift. `critical` depends on n, m and the column's share of alpha.
    `value`, `critical` and `p_value` are None if there is no verdict; never NaN or infinite. `scatter`: if a
    window is compared with what is usual, the standard deviation of such windows, in the units of `value`. A tuple,
    because an evaluation makes thousands; its words are made by its `explanation`, only for the few that are read.
    """

    rule: str
    column: str
    role: Role
    kind: Kind
    statistic: str
    state: State
    window: Span
    reference: str
    model_version: str
    n: int = 0
    m: int = 0
    value: float | None = None
    critical: float | None = None
    floor: float | None = None
    p_value: float | None = None
    reason: str = ""
    explanation: Explanation = NOTHING
    model: str = MODEL
    series: str = ALL
    scatter: float | None = None

    def __repr__(self) -> str:
        """One line for people: what was asked, what came out, and in words why.

        >>> DriftResult("drift", "bmi", "feature", "numeric", "ks", "drift", Span(0.0, 60.0), "training 0123", "v1",
        ...             500, 331, 0.312, 0.09, 0.08)
        <DriftResult bmi (feature): drift by ks 0.312, threshold 0.09, n 500 against 331 of training 0123, rule drift>
        """
        what = f"{self.column} ({self.role}): {self.state}"
        if self.value is not None and self.threshold is not None:
            what += f" by {self.statistic} {self.value:.4g}, threshold {self.threshold:.4g}"
        why = self.direction.text if self.direction else self.reason
        of = f"n {self.n} against {self.m} of {self.reference}, rule {self.rule}"
        return f"<{type(self).__name__} {what}, {of}{f': {why}' if why else ''}>"

    @property
    def key(self) -> AlertKey:
        """Which alert it speaks for."""
        return AlertKey(self.rule, self.model, self.series, self.role, self.column)

    @property
    def direction(self) -> Direction | None:
        """Which way the column moved; None if there is no verdict."""
        return self.explanation.direction(self)

    @property
    def contributions(self) -> tuple[Shift, ...]:
        """The bins that moved most, the largest move first."""
        return self.explanation.contributions(self)

    @property
    def harm(self) -> Harm | None:
        """What the shift of a column that has moved does to the model; None if that is not known."""
        return self.explanation.harm(self) if self.state in ("drift", "warning") else None

    @property
    def weight(self) -> tuple[float, float, float]:
        """What columns are ranked by, also of several models: relative harm, importance, and `strength`."""
        harm = self.harm
        loss = harm.loss / (abs(harm.usual) or 1.0) if harm and harm.effect == "harmful" else 0.0
        return loss, (harm.importance or 0.0) if harm else 0.0, self.strength

    @property
    def threshold(self) -> float | None:
        """The larger of critical value and floor; None if there is no verdict."""
        return None if self.critical is None else max(self.critical, self.floor or 0.0)

    @property
    def strength(self) -> float:
        """How far the value is beyond its threshold, to rank columns by; 0 if there is no verdict."""
        threshold = self.threshold
        return self.value / threshold if self.value is not None and threshold and threshold > 0 else 0.0

    @classmethod
    def rows(cls, *fields: Iterable[object]) -> list[DriftResult]:
        """Results from all fields in order, each an iterable over them; the shortest one ends it.

        As `_make` for each, without a call in Python for each: an evaluation may make thousands.
        """
        return list(map(tuple.__new__, repeat(cls), zip(*fields, strict=False)))

    def to_json(self) -> dict[str, Any]:
        """Return the object that `/api/drift` lists."""
        fields = self._asdict()
        del fields["explanation"]
        direction, harm = self.direction, self.harm
        words = {"direction": direction.text if direction else None, "harm": harm.to_json() if harm else None}
        return {**fields, **words, "window": self.window.to_json()}


#: From this part of its threshold on, a move of the predictions that is no drift is worth words.
NEARLY = 0.5


def predictions_moved(results: Iterable[DriftResult]) -> str:
    """Say whether the predictions have moved, by the results on them; "" without a verdict on one."""
    judged = [result for result in results if result.role == "prediction" and result.value is not None]
    if not judged:
        return ""
    worst = max(judged, key=lambda result: (result.state == "drift", result.state == "warning", result.strength))
    if worst.direction is None or (worst.state not in ("drift", "warning") and worst.strength < NEARLY):
        return "predictions have not moved"
    name = "" if worst.column == "prediction" else f"{worst.column} "
    much = {"drift": "predictions have moved", "warning": "predictions have moved a little"}.get(worst.state, "")
    how = f"{name}{worst.direction.text}"
    return f"{much}: {how}" if much else f"predictions may have moved: {how}, too little for an alert"


def of_importance(share: float | None) -> str:
    """Say how important the columns are that drifted: ", 61 % of the model's importance"; "" if it is not known."""
    return "" if share is None else f", {percent(share)} of the model's importance"


def at_a_glance(results: Sequence[DriftResult]) -> dict[str, Any]:
    """What matters of an evaluation, for programs: have the predictions moved, what drifted, and does it do harm.

    Columns are in the order of harm, importance and strength; `harm` has those of which it is known, in words;
    `importance` is that of the features among them, in sum.
    """
    drifted = sorted((one for one in results if one.state == "drift"), key=lambda one: one.weight, reverse=True)
    harms = {one.column: one.harm for one in drifted}
    parts = {one.column: one.harm.importance for one in drifted if one.role == "feature" and one.harm}
    known = [part for part in parts.values() if part is not None]
    return {
        "predictions_moved": predictions_moved(results) or None,
        "drifted": list(harms),
        "harm": {column: harm.text for column, harm in harms.items() if harm},
        "importance": sum(known) if known else None,
    }
