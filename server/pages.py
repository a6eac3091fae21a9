"""The pages: what the pipeline has published and the store remembers, as HTML, and each view as JSON and CSV too."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, request

from monitor.pipeline import Pipeline
from monitor.report import overview, words
from monitor.report.render import STATIC, render

pages = Blueprint("pages", __name__, static_folder=str(STATIC), static_url_path="/assets")

#: A page with scripts asks for itself again this often, in seconds, but not more often than anything can change.
REFRESH = (5.0, 60.0)

ALERTS_SHOWN = 8


@pages.get("/")
def index() -> Response:
    """The overview."""
    pipeline = _pipeline()
    evaluation = pipeline.latest
    listed = overview.rows(evaluation, pipeline.reference)
    figures = [overview.draw(row, pipeline.reference) for row in listed[: overview.MOST_FIGURES]]
    alerts = sorted(
        (alert for alert in evaluation.alerts.values() if alert.state in ("firing", "pending")),
        key=lambda alert: (alert.state, alert.since),
    )
    judged = evaluation.judged[0] if evaluation.judged else None
    return _page(
        "overview.html",
        title="Columns",
        headline=overview.headline(listed, evaluation, pipeline.config.drift.every),
        rows=listed,
        figures=figures + [""] * (len(listed) - len(figures)),
        alerts=alerts[:ALERTS_SHOWN],
        more_alerts=max(0, len(alerts) - ALERTS_SHOWN),
        health=_health(pipeline),
        window=None
        if judged is None
        else {
            "n": judged.test.n,
            "start": judged.window.start,
            "end": judged.window.end,
            "against": overview.against_what(judged),
            "rows": pipeline.reference.info.rows if judged.rule.reference == "training" else 0,
        },
        reference_name="training data" if judged is None else overview.against_what(judged).removeprefix("the "),
    )


def _page(template: str, **context: Any) -> Response:
    pipeline = _pipeline()
    low, high = REFRESH
    body = render(
        template,
        here=request.path,
        version=pipeline.version,
        now=pipeline.clock.time(),
        refresh=min(max(pipeline.config.drift.every / 2, low), high),
        as_json="/api/drift",
        as_csv="/api/drift",
        **context,
    )
    return Response(body, content_type="text/html; charset=utf-8")


def _health(pipeline: Pipeline) -> dict[str, str]:
    """The health line: what is wrong, or that nothing is."""
    wrong = [check for check in pipeline.checks() if check.condition != "ok"]
    if not wrong:
        evaluated = pipeline.latest.at
        ago = words.duration(max(0.0, pipeline.clock.time() - evaluated))
        told = f"; last evaluation {ago} ago" if evaluated else ""
        return {"status": "ok", "text": f"Monitor healthy{told}."}
    text = "; ".join(f"{check.part}: {check.detail}" for check in wrong)
    return {"status": pipeline.health()["status"], "text": f"Monitor {pipeline.health()['status']}: {text}."}


def _pipeline() -> Pipeline:
    pipeline: Pipeline = current_app.config["PIPELINE"]
    return pipeline
