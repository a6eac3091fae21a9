"""Builds the Grafana dashboards: `pip install grafana-foundation-sdk`, then `python compose/grafana/build.py`.

The JSON files under `dashboards/` are written by this script and committed; tests/compose/test_dashboards.py compares
them. Queries speak of columns by name, of one model version at a time, and of all replicas together.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import barchart, common, heatmap, stat, statushistory, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    StackingMode,
    TableCellHeight,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, DataTransformerConfig, DynamicConfigValue
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TARGET = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

MODEL, OVERVIEW, HEALTH = "telltale-model-metrics", "telltale-drift-overview", "telltale-health"
VERSION = 'model_version="$version"'

# Queries over one column and a window of choice. `who` is the selector of the column, without braces.


def rows(metric: str, who: str) -> str:
    """Rows that a counter has counted in the window: exact, and over a reset as well as increase() can."""
    over, by = f"{metric}{{{who}}}[$window]", "by (job, replica, le, category)"
    exact = f"max {by} (max_over_time({over})) - min {by} (min_over_time({over}))"
    return f"({exact} unless max {by} (resets({over})) > 0 or sum {by} (increase({over})))"


def below(who: str) -> str:
    """Rows at or below each upper edge."""
    return f'sum by (upper) (label_replace({rows("telltale_value_bucket", who)}, "upper", "$1", "le", "(.+)"))'


def categories(who: str) -> str:
    """Rows in each category, and those with a missing value, by bin."""
    known = f'label_replace({rows("telltale_category_total", who)}, "bin", "$1", "category", "(.*)")'
    missing = f'label_replace({rows("telltale_missing_total", who)}, "bin", "__missing__", "", "")'
    return f"sum by (bin) ({known}) or sum by (bin) ({missing})"


def bins(who: str) -> str:
    """Rows in each bin, of either kind of column."""
    edges = "max by (lower, upper) (telltale_bin_edges{%s} >= bool 0)"
    first = f'0 * max by (lower, upper) (telltale_bin_edges{{{who}, lower="-Inf"}})'
    under = f'label_replace({below(who)}, "lower", "$1", "upper", "(.+)")'
    numeric = (
        f"sum by (upper) ({edges % who} * on (upper) group_left () {below(who)}"
        f" - ({edges % who} * on (lower) group_left () {under} or {first}))"
    )
    return f'label_replace({numeric}, "bin", "$1", "upper", "(.+)") or {categories(who)}'


def reference(who: str) -> str:
    """Rows of the reference in each bin."""
    return f"max by (bin) (telltale:bin:reference{{{who}}})"


def share(counts: str) -> str:
    """Each bin's part of all rows."""
    return f"({counts}) / scalar(sum({counts}))"


def order(who: str) -> str:
    """A number to sort bins by: the position of a numeric bin; categories and the others behind."""
    numeric = f'label_replace(telltale_bin_edges{{{who}}}, "bin", "$1", "upper", "(.+)")'
    return f"min by (bin) ({numeric} or 1000 + 0 * telltale:bin:reference{{{who}}})"


def window_statistic(who: str) -> str:
    """Give ks of a numeric column, kl of a categorical one, over the window of choice."""
    expected = f"max by (upper) (telltale:value_below:reference{{{who}}})"
    total = f'scalar(sum(telltale:value_below:reference{{{who}, upper="+Inf"}}))'
    all_rows = rows("telltale_value_bucket", who + ', le="+Inf"')
    found = f"scalar(sum({all_rows}))"
    ks = f"max(abs({below(who)} / {found} - {expected} / {total}))"
    known = f"({categories(who)})"
    q = f"(({known} + 0.5) / scalar(sum({known} + 0.5)))"
    p = f"(({reference(who)} + 0.5) / scalar(sum({reference(who)} + 0.5)))"
    # Without an answer for a numeric column: its bins are not among the categories.
    kl = f"sum({q} * ln({q} / {p})) and on () max(telltale_category_reference{{{who}}})"
    return f"({ks}) or ({kl})"


# Building blocks.


def query(expr: str, legend: str = "", ref: str = "A") -> Dataquery:
    """A query over the dashboard's time range."""
    return Dataquery().expr(expr).legend_format(legend or "__auto").ref_id(ref).range()


def instant(expr: str, ref: str) -> Dataquery:
    """A query at the end of the time range, as a table."""
    return Dataquery().expr(expr).ref_id(ref).instant().format(PromQueryFormat.TABLE)


def transform(name: str, **options: Any) -> DataTransformerConfig:
    """A step between query and picture."""
    return DataTransformerConfig(id_val=name, options=options)


def steps(*pairs: tuple[float | None, str]) -> build.ThresholdsConfig:
    """Colours from a value on."""
    found = [model.Threshold(value=value, color=color) for value, color in pairs]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


#: Statistic / threshold: half-way is worth a look, 1 is drift.
RATIO = ((None, "green"), (0.5, "yellow"), (1.0, "red"))


def legend(placement: LegendPlacement = LegendPlacement.BOTTOM, shown: bool = True) -> common.VizLegendOptions:
    """A legend as a list, or none."""
    return common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(placement).show_legend(shown)


def lines(
    title: str, text: str, *queries: Dataquery, unit: str = "short", span: int = 12, least: float | None = 0
) -> timeseries.Panel:
    """Lines over time."""
    panel = timeseries.Panel().title(title).description(text).datasource(SOURCE).span(span).height(8)
    panel = panel.unit(unit).line_width(1).fill_opacity(5).legend(legend())
    panel = panel.show_points(VisibilityMode.NEVER).tooltip(common.VizTooltipOptions().mode("multi"))
    for one in queries:
        panel = panel.with_target(one)
    return panel if least is None else panel.min(least)


def dashed(name: str) -> tuple[str, list[DynamicConfigValue]]:
    """Draw a threshold as a red dashed line."""
    style = {"fill": "dash", "dash": [8, 6]}
    fixed = {"mode": "fixed", "fixedColor": "red"}
    return name, [
        DynamicConfigValue(id_val="custom.lineStyle", value=style),
        DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        DynamicConfigValue(id_val="color", value=fixed),
    ]


def number(title: str, text: str, expr: str, unit: str = "short", *, colors: Any = ((None, "text"),)) -> stat.Panel:
    """One number."""
    panel = stat.Panel().title(title).description(text).datasource(SOURCE).span(4).height(4)
    return panel.unit(unit).thresholds(steps(*colors)).with_target(query(expr))


def board(title: str, uid: str, text: str) -> build.Dashboard:
    """An empty dashboard with what all of them share."""
    made = build.Dashboard(title).uid(uid).description(text).tags(["telltale"]).editable().timezone("browser")
    made = made.time("now-3h", "now").refresh("1m").tooltip(model.DashboardCursorSync.CROSSHAIR)
    link = build.DashboardLink("Telltale").type(model.DashboardLinkType.DASHBOARDS).tags(["telltale"])
    made = made.link(link.keep_time(True).include_vars(True).as_dropdown(False))
    return made.with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))


def choice(name: str, label: str, expr: str, *, several: bool = False, everything: bool = False) -> build.QueryVariable:
    """A variable that Prometheus knows the values of. It begins with the first one, or, with `everything`, all."""
    made = build.QueryVariable(name).label(label).datasource(SOURCE).query({"query": expr, "refId": name})
    made = made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)
    return made.multi(several).include_all(everything)


def version() -> build.QueryVariable:
    """Choose the model version: of those in the time range, it begins with the one that was there last."""
    now = "max by (model_version) (timestamp(telltale_build_info))"
    earlier = "max by (model_version) (max_over_time(timestamp(telltale_build_info)[$__range:1m]))"
    made = choice("version", "Model version", f"query_result(sort_desc({now} or {earlier}))")
    return made.regex('/model_version\\W+([^"]+)/').sort(model.VariableSort.DISABLED)


def column_link() -> list[Any]:
    """From a column's cell to its panels."""
    url = (
        f"/d/{MODEL}?var-datasource=${{datasource}}&var-version=${{version:percentencode}}"
        "&var-column=${__data.fields.column:percentencode}&${__url_time_range}"
    )
    return [{"title": "Show this column", "url": url}]


# The dashboards.


def distribution(title: str, who: str, text: str) -> barchart.Panel:
    """Reference and window side by side, bin by bin."""
    panel = barchart.Panel().title(title).description(text).datasource(SOURCE).span(12).height(9)
    panel = panel.with_target(instant(share(bins(who)), "production"))
    panel = panel.with_target(instant(share(reference(who)), "reference")).with_target(instant(order(who), "order"))
    panel = panel.with_transformation(transform("joinByField", byField="bin", mode="outer"))
    panel = panel.with_transformation(transform("sortBy", sort=[{"field": "Value #order"}]))
    hidden = dict.fromkeys(("Value #order", "Time", "Time 1", "Time 2", "Time 3"), True)
    named = {"Value #production": "production", "Value #reference": "reference"}
    panel = panel.with_transformation(transform("organize", excludeByName=hidden, renameByName=named))
    panel = panel.x_field("bin").orientation(VizOrientation.VERTICAL).x_tick_label_max_length(9)
    panel = panel.x_tick_label_rotation(-45).show_value(VisibilityMode.NEVER).stacking(StackingMode.NONE)
    panel = panel.unit("percentunit").min(0).group_width(0.85).bar_width(0.95).fill_opacity(60).legend(legend())
    colors = (("production", "orange"), ("reference", "blue"))
    for name, color in colors:
        fixed = DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
        panel = panel.override_by_name(name, [fixed])
    return panel


def over_time(who: str) -> list[timeseries.Panel]:
    """The statistics of one column with their thresholds."""

    def auto(name: str) -> str:
        return (
            f'telltale:{name}:30m{{{who}, statistic="ks"}} or (telltale:{name}:30m{{{who}, statistic="kl"}} '
            f"unless on (job, model_version, column, role) telltale:values:reference)"
        )

    first = lines(
        "K-S (numbers) or KL (categories), with its threshold",
        "What the alert rests on: above the dashed line is drift. The threshold falls with more rows, down to the "
        "effect floor. There is no line below the minimum number of rows. The last 30 minutes, and the chosen window.",
        query(auto("drift"), "{{statistic}}, 30m"),
        query(auto("drift_threshold"), "threshold, 30m", "B"),
        query(window_statistic(who), "over $window", "C"),
    ).override_by_name(*dashed("threshold, 30m"))
    second = lines(
        "KL and PSI of all bins",
        "Divergence of the last 30 minutes from the reference in nats. PSI is what Boxkite calls KL.",
        query(f'telltale:drift:30m{{{who}, statistic=~"kl|psi"}}', "{{statistic}}"),
        query(f'telltale:drift_threshold:30m{{{who}, statistic=~"kl|psi"}}', "{{statistic}} threshold", "B"),
    ).override_by_regexp("/threshold/", dashed("")[1])
    absent = 'bin=~"__missing__|__nonfinite__"'
    third = lines(
        "Missing values",
        "Share of rows without a usable value (None, NaN, infinite): last 30 minutes against the reference.",
        query(f"sum(telltale:bin:count30m{{{who}, {absent}}}) / sum(telltale:rows:count30m{{{who}}})", "production"),
        query(
            f"sum(telltale:bin:reference{{{who}, {absent}}}) / sum(telltale:rows:reference{{{who}}})", "reference", "B"
        ),
        unit="percentunit",
    )
    return [first, second, third]


def feature_heatmap(who: str) -> heatmap.Panel:
    """How the rows of a numeric column were spread, over time."""
    expr = f"sum by (le) ({rows('telltale_value_bucket', who).replace('$window', '$__rate_interval')})"
    panel = heatmap.Panel().title("Production over time (numeric columns)").datasource(SOURCE).span(12).height(8)
    panel = panel.description("Rows in each bin, step by step; the upper edge of the bin on the left.")
    panel = panel.with_target(query(expr, "{{le}}").format(PromQueryFormat.HEATMAP)).calculate(False)
    return panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LINEAR))


def model_metrics() -> build.Dashboard:
    """The tutorial's dashboard: each distribution against its reference."""
    made = board("Model Metrics", MODEL, "Reference and production of each column, and how far they are apart.")
    window = build.IntervalVariable("window").label("Window")
    window = window.values("5m,15m,30m,1h,3h,6h,12h,1d,7d")
    window = window.current(model.VariableOption(selected=True, text="30m", value="30m"))
    of = f'label_values(telltale_column_info{{{VERSION}, role="%s"}}, column)'
    made = made.with_variable(version()).with_variable(choice("column", "Feature", of % "feature", several=True))
    made = made.with_variable(
        choice("prediction", "Prediction", of % "prediction", several=True, everything=True)
    ).with_variable(window)
    made = made.with_panel(
        lines(
            "Predictions",
            "Predictions a second, over all replicas.",
            query(f"sum(rate(telltale_predictions_total{{{VERSION}}}[$__rate_interval])) or vector(0)", "predictions"),
            unit="reqps",
            span=24,
        ).height(5)
    )
    text = (
        "Share of rows in each bin over the chosen window, up to now, and in the reference. The label of a bin of "
        "numbers is its upper edge; +Inf is what lies above all that the reference held."
    )
    for variable, role in (("prediction", "prediction"), ("column", "feature")):
        who = f'{VERSION}, column="${{{variable}:raw}}", role="{role}"'
        made = made.with_row(build.Row(f"{role.capitalize()}: ${variable}").repeat(variable))
        made = made.with_panel(distribution(f"${variable}: reference and the last $window", who, text))
        for panel in over_time(who):
            made = made.with_panel(panel)
        if role == "feature":
            made = made.with_panel(feature_heatmap(who))
    return made


def drift_overview() -> build.Dashboard:
    """All columns at a glance."""
    made = board("Drift overview", OVERVIEW, "Every column of a model version over time, the worst first.")
    top = build.CustomVariable("top").label("Columns shown").values("20,50,100,200")
    top = top.current(model.VariableOption(selected=True, text="20", value="20"))
    made = made.with_variable(version()).with_variable(top)
    worst = f"max by (column, role) (telltale:drift_worst:30m{{{VERSION}}})"
    red = ((None, "green"), (1.0, "red"))
    made = made.with_panel(
        number("Columns in drift", "Statistic above its threshold now.", f"count({worst} > 1) or vector(0)", colors=red)
    )
    made = made.with_panel(
        number("Columns watched", "All columns.", f"count(count by (column, role) (telltale_column_info{{{VERSION}}}))")
    )
    alerts = 'count(ALERTS{alertname=~"Telltale.*", alertstate="firing"}) or vector(0)'
    made = made.with_panel(
        number("Alerts firing", "In Prometheus, Telltale's own health included.", alerts, colors=red)
    )
    made = made.with_panel(
        number("Rows, last 30 minutes", "What the verdicts rest on.", f"max(telltale:rows:count30m{{{VERSION}}})")
    )
    made = made.with_panel(
        number(
            "Replicas",
            "Processes that serve this version now.",
            f"count(count by (instance) (telltale_predictions_total{{{VERSION}}}))",
        )
    )
    made = made.with_panel(
        number("Largest ratio", "Statistic / threshold of the worst column.", f"max({worst})", colors=RATIO)
    )
    history = statushistory.Panel().title("The worst columns over time").datasource(SOURCE).span(24).height(12)
    history = history.description("Statistic / threshold of the columns that were worst in this time: red is drift.")
    ever = f"max by (column, role) (max_over_time(telltale:drift_worst:30m{{{VERSION}}}[$__range] @ end()))"
    # Series come back in the order of their labels, so the worst ratio becomes the first label; the worse, the smaller.
    rank = f'count_values by (column, role) ("_rank", 999999 - round(1000 * clamp_max(topk($top, {ever}), 800)))'
    history = history.with_target(
        query(f"{worst} * on (column, role) group_left (_rank) {rank}", "{{role}} {{column}}").interval("1m")
    )
    history = history.thresholds(steps(*RATIO)).color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    history = (
        history.show_value(VisibilityMode.NEVER)
        .row_height(0.9)
        .legend(legend(shown=False))
        .decimals(2)
        .max_data_points(120)
    )
    made = made.with_panel(history)
    listed = table.Panel().title("All columns, the worst first").datasource(SOURCE).span(16).height(14)
    listed = listed.description("Each statistic now. Follow a column's link to its distributions.")
    by = "max by (column, role, statistic)"
    for ref, name in (("ratio", "drift_ratio"), ("value", "drift"), ("threshold", "drift_threshold")):
        listed = listed.with_target(instant(f"{by} (telltale:{name}:30m{{{VERSION}}} and telltale:drift:30m)", ref))
    listed = listed.with_transformation(transform("merge"))
    names = {f"Value #{name}": name for name in ("ratio", "value", "threshold")}
    listed = listed.with_transformation(transform("organize", excludeByName={"Time": True}, renameByName=names))
    listed = listed.with_transformation(transform("sortBy", sort=[{"field": "ratio", "desc": True}])).decimals(3)
    listed = listed.cell_height(TableCellHeight.SM)
    ratio = [
        DynamicConfigValue(
            id_val="thresholds", value={"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in RATIO]}
        ),
        DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-background", "mode": "basic"}),
    ]
    listed = listed.override_by_name("ratio", ratio)
    listed = listed.override_by_name("column", [DynamicConfigValue(id_val="links", value=column_link())])
    made = made.with_panel(listed)
    made = made.with_panel(
        lines(
            "Alerts",
            "Firing and pending alerts in Prometheus, by rule.",
            query('count by (alertname, alertstate) (ALERTS{alertname=~"Telltale.*|Tutorial.*"}) or vector(0)'),
            span=8,
        ).height(14)
    )
    states = lines(
        "What the processes say themselves",
        "Verdicts of each replica on its own traffic, by state.",
        query(f"sum by (state) (telltale_drift_state{{{VERSION}}})", "{{state}}"),
        span=24,
    ).height(7)
    made = made.with_panel(states).with_row(build.Row("Performance"))
    made = made.with_variable(choice("metric", "Metric", f"label_values(telltale_performance{{{VERSION}}}, metric)"))
    for panel in performance():
        made = made.with_panel(panel)
    return made


def performance() -> list[Any]:
    """How well the model does on the outcomes that came."""
    held = f'{{{VERSION}, metric="$metric"}}'
    text = "The metric chosen above with its 95 % interval; dashed: on the rows that the model was not trained on."
    course = lines(
        "Performance over time",
        text,
        query(f"max by (rule, replica) (telltale_performance{held})", "$metric, {{rule}} {{replica}}"),
        query(f"max by (rule, replica) (telltale_performance_lower{held})", "lower {{replica}}", "B"),
        query(f"max by (rule, replica) (telltale_performance_upper{held})", "upper {{replica}}", "C"),
        query(f"max(telltale_performance_reference{held})", "held-out rows", "D"),
        least=None,
    )
    listed = table.Panel().title("All metrics").datasource(SOURCE).span(12).height(8).decimals(3)
    listed = listed.description("Each metric now, with its interval and what it was on held-out rows.")
    columns = {"value": "", "lower": "_lower", "upper": "_upper", "held-out rows": "_reference", "n": "_samples"}
    for name, ending in columns.items():
        found = f"max by (metric, rule, replica) (telltale_performance{ending}{{{VERSION}}})"
        listed = listed.with_target(instant(found, name))
    names = {f"Value #{name}": name for name in columns}
    listed = listed.with_transformation(transform("merge"))
    listed = listed.with_transformation(transform("organize", excludeByName={"Time": True}, renameByName=names))
    share = "Share of the predictions that an outcome came for, by rule."
    covered = f"max by (rule, replica) (telltale_outcome_coverage_ratio{{{VERSION}}})"
    came = f"sum by (result) (increase(telltale_outcomes_total{{{VERSION}}}[$__rate_interval]))"
    return [
        course.override_by_name(*dashed("held-out rows")),
        listed.cell_height(TableCellHeight.SM),
        lines("Outcome coverage", share, query(covered, "{{rule}} {{replica}}"), unit="percentunit"),
        lines("Outcomes by what became of them", "All replicas, by result.", query(came, "{{result}}")),
    ]


def health() -> build.Dashboard:
    """Telltale itself."""
    made = board("Telltale health", HEALTH, "Is every replica up, recording, evaluating and telling people?")
    rate = "[$__rate_interval]"
    panels = (
        lines("Up", "Replicas that Prometheus can scrape.", query('up{job="telltale"}', "{{instance}}"), span=8),
        lines(
            "Predictions",
            "A second, by replica.",
            query(f"sum by (instance) (rate(telltale_predictions_total{rate}))", "{{instance}}"),
            unit="reqps",
            span=8,
        ),
        lines(
            "Time of a prediction",
            "Median and 99th percentile over all replicas.",
            query(f"histogram_quantile(0.5, sum by (le) (rate(telltale_prediction_seconds_bucket{rate})))", "median"),
            query(
                f"histogram_quantile(0.99, sum by (le) (rate(telltale_prediction_seconds_bucket{rate})))", "99 %", "B"
            ),
            unit="s",
            span=8,
        ),
        lines(
            "Requests refused, model errors",
            "A second: 4xx by code, and 500 because the model raised.",
            query(f"sum by (code) (rate(telltale_rejected_total{rate})) or vector(0)", "refused {{code}}"),
            query(f"sum(rate(telltale_model_errors_total{rate}))", "model errors", "B"),
            unit="reqps",
        ),
        lines(
            "Not recorded",
            "Predictions answered but not recorded, a second; and gaps so far.",
            query(f"sum by (instance) (rate(telltale_capture_dropped_total{rate}))", "dropped {{instance}}"),
            query("sum by (instance) (telltale_gaps_total)", "gaps {{instance}}", "B"),
        ),
        lines(
            "Behind",
            "Age of the oldest record not yet folded, lateness of the last evaluation, and time since it ended.",
            query("max by (instance) (telltale_fold_lag_seconds)", "fold {{instance}}"),
            query("max by (instance) (telltale_evaluation_late_seconds)", "evaluation late {{instance}}", "B"),
            query(
                "time() - max by (instance) (telltale_evaluation_timestamp_seconds)",
                "since evaluation {{instance}}",
                "C",
            ),
            unit="s",
        ),
        lines(
            "Notifications",
            "Attempts by receiver and outcome in the last hour, waiting ones and dead letters.",
            query(
                "sum by (receiver, outcome) (increase(telltale_notifications_total[1h])) or vector(0)",
                "{{receiver}} {{outcome}}",
            ),
            query("sum(telltale_notifications_waiting)", "waiting", "B"),
            query("sum(telltale_dead_letters)", "dead letters", "C"),
        ),
        lines(
            "Disk",
            "Journal and database of each replica.",
            query("sum by (instance) (telltale_journal_bytes)", "journal {{instance}}"),
            query("sum by (instance) (telltale_database_bytes)", "database {{instance}}", "B"),
            unit="bytes",
        ),
        lines(
            "Scrapes",
            "Series of each replica, and series left out by [metrics] max_series.",
            query('scrape_samples_scraped{job="telltale"}', "series {{instance}}"),
            query("sum by (instance) (telltale_series_dropped)", "left out {{instance}}", "B"),
        ),
    )
    for panel in panels:
        made = made.with_panel(panel)
    return made


BOARDS = {"model-metrics.json": model_metrics, "drift-overview.json": drift_overview, "telltale-health.json": health}


def to_json(made: build.Dashboard) -> str:
    """The dashboard as Grafana reads it."""
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def main() -> int:
    """Write the files; with --check only say which are out of date."""
    stale = [
        name
        for name, made in BOARDS.items()
        if not (TARGET / name).exists() or (TARGET / name).read_text() != to_json(made())
    ]
    if "--check" not in sys.argv:
        TARGET.mkdir(exist_ok=True)
        for name in stale:
            (TARGET / name).write_text(to_json(BOARDS[name]()))
    for name in stale:
        print(name, "is out of date" if "--check" in sys.argv else "written")  # noqa: T201
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
