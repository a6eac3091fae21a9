"""Every metric family on `/metrics`: name, type, labels and help, in one table.

`docs/metrics.md` is written from it (`python docs/generate.py`), and a test holds dashboards, rules and `/metrics` itself
to it. Every family carries `model_version` and `replica` besides the labels listed here.
"""

# ruff: noqa: E501 - a table reads best with one row a line

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monitor.reference import file as reference

FamilyType = Literal["counter", "gauge", "histogram", "info", "unknown"]

#: Labels of every family: name and version of the model, since versions have different bins and are never added up.
#: With [models.NAME], what is told of the process and not of a model has neither.
MODEL = "model"
MODEL_VERSION = "model_version"
#: Label of every family, too: the data folder that has the counts. Addresses of replicas come and go.
REPLICA = "replica"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family. `name` is what a query uses: counters end in `_total`, infos in `_info`."""

    name: str
    type: FamilyType
    labels: tuple[str, ...]
    help: str

    def head(self, openmetrics: bool) -> str:
        r"""Return the HELP and TYPE lines.

        OpenMetrics names a family without the suffix of its samples; the text format knows no infos.

        >>> Family("x_total", "counter", (), "Things.").head(openmetrics=True)
        '# HELP x Things.\n# TYPE x counter\n'
        >>> Family("x_info", "info", (), "Facts.").head(openmetrics=False)
        '# HELP x_info Facts.\n# TYPE x_info gauge\n'
        """
        name, kind = self.name, str(self.type)
        if openmetrics and self.type in ("counter", "info"):
            name = name.removesuffix("_total").removesuffix("_info")
        elif self.type == "info":
            kind = "gauge"
        text = self.help.replace("\\", r"\\").replace("\n", r"\n")
        if openmetrics:
            text = text.replace('"', r"\"")
        return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


# fmt: off
_COLUMN = ("column", "role")
_RULE = ("column", "role", "rule", "statistic")
_METRIC = ("metric", "rule")

VALUE = Family("telltale_value", "histogram", (*_COLUMN, "le"), "Live values at or below each bin edge, finite ones only, by numeric column.")
VALUE_REFERENCE = Family(reference.VALUE, "histogram", (*_COLUMN, "le"), reference.HELP[reference.VALUE])
BIN_EDGES = Family("telltale_bin_edges", "gauge", (*_COLUMN, "lower", "upper"), "Each bin of a numeric column with the edge below it and its own, so that a query can subtract neighbouring buckets; the value is its position.")
CATEGORY = Family("telltale_category_total", "counter", (*_COLUMN, "category"), "Live rows in each category, by categorical column; __other__ counts unseen values.")
CATEGORY_REFERENCE = Family(reference.CATEGORY, "gauge", (*_COLUMN, "category"), reference.HELP[reference.CATEGORY])
MISSING = Family("telltale_missing_total", "counter", _COLUMN, "Live rows in which the column was missing (None or NaN).")
MISSING_REFERENCE = Family(reference.MISSING_ROWS, "gauge", _COLUMN, reference.HELP[reference.MISSING_ROWS])
NONFINITE = Family("telltale_nonfinite_total", "counter", _COLUMN, "Live rows in which the numeric column was infinite.")
NONFINITE_REFERENCE = Family(reference.NONFINITE_ROWS, "gauge", _COLUMN, reference.HELP[reference.NONFINITE_ROWS])
DEVIATION_REFERENCE = Family(reference.DEVIATION, "gauge", _COLUMN, reference.HELP[reference.DEVIATION])
COLUMN_INFO = Family(reference.COLUMN_INFO, "info", (*_COLUMN, "kind", "position"), reference.HELP[reference.COLUMN_INFO])
REFERENCE_INFO = Family(reference.INFO, "info", ("reference", "model_sha256", "created", "rows", "source"), "The reference in use and what it was made from, with a version_NAME label for each library; always 1.")

DRIFT = Family("telltale_drift", "gauge", _RULE, "Drift statistic of the last evaluation; absent where there is no verdict.")
DRIFT_CRITICAL = Family("telltale_drift_critical", "gauge", _RULE, "Value that the statistic exceeds by chance with the rule's error probability, for the sample sizes at hand.")
DRIFT_FLOOR = Family("telltale_drift_floor", "gauge", _RULE, "Smallest value of the statistic that matters.")
DRIFT_SCATTER = Family("telltale_drift_scatter", "gauge", _RULE, "Standard deviation of windows of this column about what is usual, in the units of the statistic; only of rules that compare with what is usual.")
DRIFT_SAMPLES = Family("telltale_drift_samples", "gauge", _RULE, "Rows of the test window that the statistic rests on.")
DRIFT_STATE = Family("telltale_drift_state", "gauge", (*_RULE, "state"), "1 for the state that the verdict is in, 0 for all others.")
PERFORMANCE = Family("telltale_performance", "gauge", _METRIC, "Metric of the predictions whose outcome is known, over the last window that a rule judged; `estimated NAME` is one without outcomes, absent where there is no estimate.")
PERFORMANCE_LOWER = Family("telltale_performance_lower", "gauge", _METRIC, "Lower end of the metric's 95 % interval.")
PERFORMANCE_UPPER = Family("telltale_performance_upper", "gauge", _METRIC, "Upper end of the metric's 95 % interval.")
PERFORMANCE_SAMPLES = Family("telltale_performance_samples", "gauge", _METRIC, "Rows that the metric rests on.")
PERFORMANCE_REFERENCE = Family("telltale_performance_reference", "gauge", _METRIC, "The metric on held-out rows.")
PERFORMANCE_CRITICAL = Family("telltale_performance_critical", "gauge", _METRIC, "How much worse than on held-out rows the metric is by chance with the rule's error probability; of metrics that are judged.")
PERFORMANCE_FLOOR = Family("telltale_performance_floor", "gauge", _METRIC, "How much worse than on held-out rows the metric must be to matter; of metrics that are judged.")
PERFORMANCE_STATE = Family("telltale_performance_state", "gauge", (*_METRIC, "state"), "1 for the state that the verdict on the metric is in, 0 for all others.")
COVERAGE = Family("telltale_outcome_coverage_ratio", "gauge", ("rule",), "Outcomes that were compared, over all predictions of the window that the rule judged.")
ALERT_STATE = Family("telltale_alert_state", "gauge", (*_COLUMN, "rule", "state"), "1 for the state that the alert is in, 0 for all others. A silence holds back messages and changes no state.")

DRIFT_SCALE = Family("telltale_drift_scale", "gauge", (*_COLUMN, "statistic"), "Multiply by sqrt(h) (ks, missing) or h (kl, psi), h = 1/n + 1/m, for the critical value; alpha is shared out over all columns.")
DRIFT_UNSEEN = Family("telltale_drift_unseen_share", "gauge", _COLUMN, "Share of rows that may be of categories the reference happened not to hold, without any drift; 0 for a numeric column.")
DRIFT_QUANTILE = Family("telltale_drift_normal_quantile", "gauge", (), "Standard normal quantile of one column's share of alpha.")
DRIFT_DEFAULT_FLOOR = Family("telltale_drift_default_floor", "gauge", ("statistic",), "Smallest value of the statistic that matters, where a rule says nothing else.")
COUNTING_SINCE = Family("telltale_counting_since_timestamp_seconds", "gauge", (), "When this replica began to count for this model version, in seconds since 1970; its counters were zero then.")
DRIFT_MIN_SAMPLES = Family("telltale_drift_min_samples", "gauge", (), "Fewer rows than this in a test window give no verdict.")

PREDICTIONS = Family("telltale_predictions_total", "counter", (), "Predictions that were answered and recorded.")
PREDICTION_SECONDS = Family("telltale_prediction_seconds", "histogram", ("le",), "Time from a prediction request to its answer.")
MODEL_ERRORS = Family("telltale_model_errors_total", "counter", (), "Requests answered with 500 because the model raised.")
REJECTED = Family("telltale_rejected_total", "counter", ("code",), "Requests refused with a 4xx, by error code.")
CAPTURE_DROPPED = Family("telltale_capture_dropped_total", "counter", (), "Predictions that were answered but could not be recorded.")
REPEATED = Family("telltale_predictions_repeated_total", "counter", (), "Predictions that were recorded again under an id of the caller that had come before; they are in no other count.")
OUTCOMES = Family("telltale_outcomes_total", "counter", ("result",), "Outcomes by what became of them; one that is waiting for its prediction is counted again when that has come, or has not for an hour.")
OUTCOME_DELAY = Family("telltale_outcome_delay_seconds", "histogram", ("le",), "Time from a prediction to its outcome.")
OUTCOME_WAITING = Family("telltale_outcome_waiting", "gauge", (), "Predictions that wait for their outcome.")
OUTCOME_ONE_IN = Family("telltale_outcome_waiting_one_in", "gauge", (), "Of how many predictions one is kept to wait for its outcome: more than 1 if [outcomes] max_size does not hold them all.")
GAPS = Family("telltale_gaps_total", "counter", (), "Stretches of time of which records are missing.")
FOLD_LAG = Family("telltale_fold_lag_seconds", "gauge", (), "Age of the oldest record that is not yet folded into the windows; 0 when there is none.")
JOURNAL_BYTES = Family("telltale_journal_bytes", "gauge", (), "Size of the journal's segments on disk.")
DATABASE_BYTES = Family("telltale_database_bytes", "gauge", (), "Size of the database with its write-ahead log.")
EVALUATIONS = Family("telltale_evaluations_total", "counter", (), "Evaluations of drift that ran to their end.")
EVALUATION_LATE = Family("telltale_evaluation_late_seconds", "gauge", (), "How much later than planned the last evaluation began.")
EVALUATION_TIME = Family("telltale_evaluation_timestamp_seconds", "gauge", (), "When the last evaluation ended, in seconds since 1970; absent before the first.")
EVALUATION_EVERY = Family("telltale_evaluation_interval_seconds", "gauge", (), "How often drift is meant to be worked out.")
NOTIFICATIONS = Family("telltale_notifications_total", "counter", ("receiver", "outcome"), "Attempts to deliver a notification, by receiver and outcome.")
WAITING = Family("telltale_notifications_waiting", "gauge", (), "Notifications not yet delivered.")
DEAD_LETTERS = Family("telltale_dead_letters", "gauge", (), "Notifications given up since the last one that was delivered.")
SERIES_DROPPED = Family("telltale_series_dropped", "gauge", (), "Series left out because [metrics] max_series is reached.")
BUILD_INFO = Family("telltale_build_info", "info", ("version",), "Version of Telltale; always 1.")

#: The chapters of docs/metrics.md.
CHAPTERS: dict[str, tuple[Family, ...]] = {
    "Distributions": (VALUE, VALUE_REFERENCE, BIN_EDGES, CATEGORY, CATEGORY_REFERENCE, MISSING, MISSING_REFERENCE, NONFINITE, NONFINITE_REFERENCE, DEVIATION_REFERENCE, COLUMN_INFO, REFERENCE_INFO),
    "Verdicts": (DRIFT, DRIFT_CRITICAL, DRIFT_FLOOR, DRIFT_SCATTER, DRIFT_SAMPLES, DRIFT_STATE, ALERT_STATE),
    "Performance": (PERFORMANCE, PERFORMANCE_LOWER, PERFORMANCE_UPPER, PERFORMANCE_SAMPLES, PERFORMANCE_REFERENCE, PERFORMANCE_CRITICAL, PERFORMANCE_FLOOR, PERFORMANCE_STATE, COVERAGE),
    "Constants for rules in PromQL": (DRIFT_SCALE, DRIFT_UNSEEN, DRIFT_QUANTILE, DRIFT_DEFAULT_FLOOR, DRIFT_MIN_SAMPLES, COUNTING_SINCE),
    "Serving": (PREDICTIONS, PREDICTION_SECONDS, MODEL_ERRORS, REJECTED),
    "Outcomes": (OUTCOMES, OUTCOME_DELAY, OUTCOME_WAITING, OUTCOME_ONE_IN),
    "Telltale's own health": (CAPTURE_DROPPED, REPEATED, GAPS, FOLD_LAG, JOURNAL_BYTES, DATABASE_BYTES, EVALUATIONS, EVALUATION_LATE, EVALUATION_TIME, EVALUATION_EVERY, NOTIFICATIONS, WAITING, DEAD_LETTERS, SERIES_DROPPED, BUILD_INFO),
}
# fmt: on

FAMILIES: dict[str, Family] = {family.name: family for chapter in CHAPTERS.values() for family in chapter}
