"""The second half of the data path: the changes of an evaluation become messages that reach people.

`announce` queues the messages in the evaluation's transaction; the senders, a thread for each receiver, deliver them.
"""

from __future__ import annotations

import ipaddress
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from monitor.clock import Clock
from monitor.config.load import Config
from monitor.config.settings import ServerConfig
from monitor.drift.result import AlertKey
from monitor.judging.evaluation import Evaluator
from monitor.notify import plan as planning
from monitor.notify.picture import histogram
from monitor.notify.receivers import build_receivers
from monitor.rules.alert import by_alert, leading_result
from monitor.rules.silence import mutes
from monitor.sender import Senders
from monitor.store.file.writer import Writer
from monitor.store.records import alerts as alert_store
from monitor.store.records import notifications as outbox

#: Key of `meta` under which the address of the page is kept.
PAGE = "page"


def page_address(server: ServerConfig, port: int | None = None) -> str:
    """Address of the page for links in messages. `port`: the port that is listened on, if it is known."""
    if server.url:
        return server.url
    host = server.host.strip("[]")
    with suppress(ValueError):
        if ipaddress.ip_address(host or "::").is_unspecified:  # such an address can be listened on, but not opened
            host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port or server.port}"


def works_here_only(link: str) -> bool:
    """Whether a link works only on the machine that serves it.

    >>> [works_here_only(link) for link in ("http://127.0.0.1:5000", "http://[::1]:5000/", "https://box.example")]
    [True, True, False]
    """
    host = urlsplit(link).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Announcer:
    """Plans messages for the receivers of a configuration, and runs their senders. Raises ConfigError.

    `names`: of all receivers, the log included.
    """

    def __init__(self, config: Config, writer: Writer, clock: Clock, link: str) -> None:
        self.config, self.link = config, link
        self.receivers = build_receivers(config)
        self.names = [receiver.name for receiver in self.receivers]
        self.senders = Senders(self.receivers, writer, clock)

    def announce(self, connection: sqlite3.Connection, evaluators: Sequence[Evaluator], now: float) -> None:
        """Queue the messages that are due after what all evaluators found, in the caller's transaction."""
        outcomes = [evaluator.found for evaluator in evaluators]
        alerts = {key: alert for evaluation, _ in outcomes for key, alert in evaluation.alerts.items()}
        groups = by_alert(result for evaluation, _ in outcomes for result in (*evaluation.results, *evaluation.traffic))
        known, statistics = tuple(alerts.values()), {key: alert.statistic for key, alert in alerts.items()}
        situation = planning.Situation(
            at=now,
            alerts=known,
            transitions=[transition for _, transitions in outcomes for transition in transitions],
            results={key: leading_result(group, statistics.get(key, "")) for key, group in groups.items()},
            muted=frozenset(mutes(known, alert_store.list_silences(connection, now), now)),
            histograms=lambda key: histograms(evaluators, key),
            versions={evaluator.series.model: evaluator.series.version for evaluator in evaluators},
            link=self.link,
            several=len(evaluators) > 1,
        )
        rules, settings = self.config.rules, self.config.alerts
        # Changes of a group are gathered over five evaluations, at most five minutes.
        every, states = self.config.drift.every, outbox.load_groups(connection)
        policy = planning.Policy(settings.repeat, min(300.0, 5 * every), max(60.0, every))
        outbox.enqueue(connection, planning.plan(situation, states, self.receivers, rules, settings.receivers, policy))


def histograms(evaluators: Sequence[Evaluator], key: AlertKey) -> dict[str, list[Any]] | None:
    """What a picture of an alert's column is drawn from: reference and test window, as its rule compared them."""
    for evaluator in evaluators:
        schema = evaluator.series.schema
        for judged in evaluator.found[0].judged:
            if evaluator.series.subject.alert(judged.rule.name, key.role, key.column) == key:
                position = schema.index(key.column, key.role)
                column, reference = schema.columns[position], schema.split(judged.reference.counts)[position]
                return histogram(column, reference, schema.split(judged.test.counts)[position])
    return None
