"""What to do about each kind of verdict: the page /what-to-do, and docs/what-to-do.md."""

from __future__ import annotations

from typing import NamedTuple

INTRO = (
    "What each verdict means, what to look at, and what to do. Two questions come first: did the predictions move, and "
    "does the drift do harm? Both are in the message. If neither, it can wait until the morning. Two commands fit most "
    "kinds and are in the message. If a fix is on its way, `telltale silence column=NAME --for 4h` mutes messages "
    "only. If the change is the new normal, `telltale reference accept COLUMN --from WHEN --dry-run` shows which "
    "alerts end; without `--dry-run` it is done, and `telltale reference reset COLUMN` goes back."
)


class Section(NamedTuple):
    """One kind of verdict. The texts may have `code` between back-ticks. Messages have the first sentence of `do`."""

    anchor: str
    title: str
    means: str
    look: tuple[str, ...]
    do: tuple[str, ...]


SECTIONS = (
    Section(
        "moved",
        "A column moved",
        "Its mean, median or mix of categories differs from the reference by more than chance and enough to matter.",
        (
            "The column's page: since when, suddenly or slowly, and which bins changed.",
            "Other columns that moved at the same minute: one cause, often a release or a new source of requests.",
            "The harm in the message: what the shift does to the model if the rest follows as it used to.",
        ),
        (
            "Ask the column's sender whether a unit or a source has changed. A sudden move is mostly a bug upstream.",
            "A slow move is mostly the world: train on newer rows once it does harm.",
        ),
    ),
    Section(
        "new-value",
        "A new category",
        "A categorical column has values that the reference never had. The model has learnt nothing about them.",
        (
            'The values by name, under "Unseen values" on the column\'s page, with their first and last time.',
            "Whether the name is a new spelling of an old one (`DE`, `de`), or something new (a country, a product).",
        ),
        (
            "Ask the column's sender whether the value is right. A new spelling: have it written as before.",
            "Something new: collect outcomes for it, then train with it. Its harm is unknown from 5 % of the rows on.",
        ),
    ),
    Section(
        "out-of-range",
        "Values out of range",
        "More rows than before are below the smallest or above the largest value of the reference.",
        (
            "By how much: ten or a thousand times too large is a unit, a little is a tail that grew.",
            "The predictions for such rows: trees answer with their outermost leaf, linear models go on without limit.",
        ),
        (
            "Ask the column's sender whether a unit has changed. A default such as -999: treat it as missing.",
            "A real tail: train with rows that have it.",
        ),
    ),
    Section(
        "spread",
        "The spread changed",
        "The values are wider or narrower around about the same mean.",
        (
            "Narrower: whether one source of requests is gone, or values are rounded or filled in.",
            "Wider: whether a second kind of rows was added. The histogram has two peaks then.",
        ),
        ("Find out which kind of rows came or went. Judge the model on it alone.",),
    ),
    Section(
        "missing",
        "Missing values",
        "More rows than before have no value, or a value that is not a finite number, in this column.",
        (
            "Since when, and whether other columns of the same source are missing too.",
            "What the model does with a missing value: `[model] missing` refuses it or hands it on.",
        ),
        ("Ask the column's sender why values are missing. It is a bug upstream until shown otherwise.",),
    ),
    Section(
        "took-over",
        "Most rows have one value",
        "A single value has a large part of the rows that it did not have before.",
        (
            "Whether it is a default (0, -1, the mean), which means that the real value did not arrive.",
            "Whether one client sends most of the traffic, such as a load test.",
        ),
        ("Ask the column's sender whether a default replaces lost values. A load test: silence it only.",),
    ),
    Section(
        "predictions-moved",
        "The predictions moved",
        "The model answers differently than for the training data. What uses the answers sees that now.",
        (
            "No column moved: columns moved together, or another model file is served. Compare its version.",
            "`/performance`, if outcomes come: are the new answers right?",
        ),
        (
            "Check the columns that drifted; if none did, the model file.",
            "The inputs are right and the world changed: nothing to repair; tell those who use the answers.",
            "An input is wrong: fix it; until then serve the last good version if people or money depend on it.",
        ),
    ),
    Section(
        "performance-worse",
        "Performance is worse",
        "Outcomes of the last days agree less with the predictions than those of held-out rows did.",
        (
            "`/performance`: since when, for which metric, and for how many predictions outcomes came.",
            "Whether the inputs explain it, as the message says. If they do, the rows are of a kind that the model was "
            "always worse on; if not, an input is wrong, or outcomes follow from the inputs in a new way.",
        ),
        (
            "Check that the outcomes are right. A new source, a shifted join, only bad cases so far: mend that first.",
            "The inputs explain it: look at the columns that drifted, and fix or retrain for them.",
            "They do not, and no input is wrong: train on rows since the change; older ones teach the old relation.",
            "Serve the last version that was better, or stop using the answers, if a wrong one costs more than none.",
        ),
    ),
    Section(
        "estimate-worse",
        "The estimate is worse",
        "There are more predictions of a kind that the model was worse on for held-out rows. No outcome has said so.",
        (
            "`/performance`: since when, and whether outcomes, if there are some, agree with the estimate.",
            "The columns that drifted, in the order of their harm: they mostly explain it.",
            "Whether outcomes may follow from the inputs in a new way: an estimate cannot see that, good or bad.",
        ),
        (
            "Get outcomes for some of these predictions. They decide, before anything costly.",
            "Fix the input that is wrong, or train with more rows of this kind.",
        ),
    ),
    Section(
        "outcome-drifted",
        "What came true, or the error, drifted",
        "The outcomes themselves, or prediction minus outcome, are distributed differently than on held-out rows.",
        (
            "`outcome` alone: the world changed, and the model may have followed. Did the predictions move too?",
            "`error` alone: the model is off in one direction, or by more. `/performance` has the bias.",
            "The message says how much the mean error rose. Harm is not defined for `outcome`: the metrics tell.",
        ),
        ("See on the performance page whether the model is worse. A constant bias can be corrected without training.",),
    ),
    Section(
        "no-traffic",
        "No traffic, or too little",
        "No predictions came in hours that had some in each of the last four weeks, for longer than silences were "
        "before. The alert ends with the next prediction. `no traffic` and `insufficient data` beside a column say "
        "that its window is empty or too small: no verdict, no message, and alerts stay as they are.",
        (
            "`/healthz` and `telltale status`: does the server answer, does the journal take predictions?",
            "Whether the callers run and know its address, since when, and whether other replicas have traffic.",
            "Whether it is a holiday, or the callers were switched off on purpose.",
        ),
        (
            "Send the model one request yourself. If it is answered, the callers do not ask: look at them and at "
            "what is between.",
            "A holiday: add it to `[drift] quiet`. Switched off for good: `telltale silence rule=traffic --for 7d`, "
            "then stop serving it.",
            "A window is empty or too small by nature: set `max_age` or a longer `window` for the rule.",
        ),
    ),
    Section(
        "no-reference",
        "No reference",
        "Nothing to compare with: the reference has no values for this column, or no performance on held-out rows.",
        ("The reason beside the verdict.",),
        (
            "`telltale init` writes a reference from training data, with `--holdout` also the performance there.",
            "Or accept a good week: `telltale reference accept COLUMN --from 7d --dry-run`.",
        ),
    ),
)


def first_step(address: str) -> str:
    """First sentence of what to do, for the address of a section: that of `missing` asks why values are missing."""
    do = next(one.do[0] for one in SECTIONS if address.endswith(f"#{one.anchor}"))
    return do.partition(". ")[0].rstrip(".") + "."
