"""The words of the pages, one short paragraph each: the page /help lists them, and tooltips show them.

A template marks a word with the filter `term`, which links it to its paragraph.
"""

from __future__ import annotations

import re

from markupsafe import Markup

#: Paragraphs by word, by the heading of the page /help that they are under.
WORDS: dict[str, dict[str, str]] = {
    "What is compared": {
        "reference": "The rows that live values are compared with: the training data, or a period that a person has "
        "accepted as normal. Example: 2,000 rows of the training data.",
        "live": "The predictions of the last window, as they came in.",
        "window": "The stretch of time whose predictions are judged together. Example: the last 30 minutes.",
        "rule": "Says which columns are compared with what, over which window, and how grave an alert is.",
        "n": "How many live values a verdict rests on. Example: of 900 predictions 7 had no value, so n is 893.",
        "m": "How many reference values a verdict rests on.",
        "bin": "A range of numbers, or a category, whose rows are counted together. Telltale stores counts, not rows.",
        "change": "Live share minus reference share, in percentage points. Example: from 20 % to 51 % is +31 points.",
        "usual": "What a column's own last weeks let expect at this hour of the week. Example: Sundays have fewer "
        "orders, so few orders on a Sunday are usual.",
        "held-out rows": "Rows that were kept out of training, with their outcomes: how well the model did when it "
        "was new.",
    },
    "How far apart": {
        "statistic": "One number for how far live values are from the reference. 0: the same.",
        "threshold": "What a statistic must exceed to be drift: the larger of critical value and effect floor.",
        "critical value": "What a statistic exceeds by chance as rarely as the rule's alpha says, with alpha 0.00015 "
        "in 1 of 7,000 tests. It falls as rows come in: for K-S it is 0.09 for 900 rows and 0.06 for 4,000, against "
        "2,000.",
        "effect floor": "The smallest difference that matters, however many rows show it. Example: K-S 0.08.",
        "p": "How often chance alone would give at least this difference. Example: 0.001 is once in 1,000 windows.",
        "limit": "How far from usual a window may be before it is unusual. It follows from how many messages a month "
        "the rule may send.",
        "K-S": "Kolmogorov-Smirnov: the largest gap between the two curves of cumulative shares. Example: 60 % of "
        "live values are below 30, and 90 % of the reference's: a gap of 0.3.",
        "Wasserstein": "How far values have to be moved on average to look like the reference, in its standard "
        "deviations (sd). Example: every value 2 sd higher is 2.",
        "KL": "Kullback-Leibler divergence: how surprising the live shares are if one expects the reference's. 0: not "
        "at all.",
        "PSI": "Population stability index: KL in both directions, added up. By habit 0.1 is a small and 0.25 a large "
        "change.",
        "JS": "Jensen-Shannon distance of the shares: 0 if they are the same, 1 if nothing is in common.",
        "chi-square": "Squared differences between counted and expected rows, added up over the categories.",
        "missing share": "Part of the rows without a usable value: none at all, not a number, or infinite.",
        "unseen or out of range": "Part of the rows with a category that the reference does not have, or a number "
        "below its smallest or above its largest.",
    },
    "States of a column": {
        "drift": "The statistic is above its threshold: more than chance explains, and enough to matter.",
        "warning": "More than chance explains, but only between half the effect floor and the floor.",
        "ok": "Nothing that is both more than chance and enough to matter.",
        "insufficient data": "The window has too few values for a verdict. Example: 12 of the 50 that the rule asks "
        "for. It is no alarm.",
        "no traffic": "The window has no predictions at all. It is no alarm.",
        "no reference": "The reference has no value of this column, so there is nothing to compare with.",
        "not watched": "No rule covers this column.",
        "not judged yet": "The first evaluation after the start is still to come.",
        "error": "This column could not be judged; the others were.",
    },
    "Alerts": {
        "pending": "An alert whose condition holds, but not for as long as its rule asks.",
        "firing": "An alert whose condition holds. The receivers have been told, unless it is silenced.",
        "resolved": "An alert that is over.",
        "severity": "How grave an alert is: info, warning or critical. Receivers can choose by it.",
        "silence": "Holds back messages for a time that a person sets. The alert itself goes on.",
        "event": "One alert from its beginning to its end. Messages about it carry the same id.",
    },
    "What it does to the model": {
        "harm": "What the shift of this column does to the model's error if the rest follows as it used to, from the "
        "loss of held-out rows in each bin. Example: mean error was 41.5, would be 46.7.",
        "importance": "How much the model's loss on held-out rows rises if this column's values are shuffled, as a "
        "share of what all columns come to. Example: 14 %.",
        "95 % interval": "The range that chance allows: of 20 such ranges, 19 hold the true value. Few outcomes make "
        "it wide.",
        "all predictions": "The metric by outcomes, weighted so that it speaks for predictions without an outcome, "
        "too.",
        "estimated without outcomes": "The metric that one expects if outcomes still follow from predictions as they "
        "did on held-out rows.",
        "outcomes": "What came true for predictions. Example: the parcel took 43 minutes; the model had said 40.",
    },
    "In the figures": {
        "never seen": "Below the smallest or above the largest value of the reference, or a category that it does not "
        "have. The model has learnt nothing about such values.",
        "beyond the plot": "Values that the reference has, too, but so far out that drawing them to scale would "
        "squeeze all others. They share one bar at the edge.",
        "missing": "Rows without a value: none was sent, or it was not a number.",
        "infinite": "Rows with a number that is not finite, such as the result of a division by zero.",
        "unseen values": "Categories that the reference does not have. Example: the region “overseas”.",
        "middle 50 %": "Half of the values, from the 25 % to the 75 % quantile; the middle 90 % go from 5 % to 95 %. "
        "The median is in the middle: half of the values are below it.",
        "no data": "Hatched: no predictions are stored for this time. It is not zero, and nothing is drawn through it.",
        "accepted period": "A time whose values a person has made the reference of this column.",
        "heat": "A row of cells, one for each stretch of time: the state of the last evaluation in it.",
    },
}

TEXTS = {word: text for group in WORDS.values() for word, text in group.items()}

#: Words of other forms, mostly of headings.
FORMS = {
    "critical": "critical value",
    "floor": "effect floor",
    "95 %": "95 % interval",
    "category": "bin",
    "worse": "drift",
    "since, and heat": "heat",
}
_BY_NAME = {word.lower(): word for word in TEXTS} | FORMS


def anchor(word: str) -> str:
    """Fragment of the address of a word's paragraph.

    >>> anchor("K-S"), anchor("95 % interval")
    ('k-s', '95-interval')
    """
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")


def term(text: str, word: str = "") -> str:
    """Link a text to the paragraph of `word`, or of the text itself; without a `word` an unknown text stays as it is.

    Raises KeyError for an unknown `word`.

    >>> term("Rows"), term("Floor")[:42]
    ('Rows', Markup('<a class="term" href="/help#effect-floor" '))
    """
    found = _BY_NAME[word] if word else _BY_NAME.get(text.lower())
    if found is None:
        return text
    link = Markup('<a class="term" href="/help#{}" title="{}">{}</a>')
    return link.format(anchor(found), TEXTS[found], text)
