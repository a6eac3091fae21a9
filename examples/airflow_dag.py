"""An Airflow DAG: count the day's predictions, ask for the verdict, and go on only if nothing drifted.

Put it into the DAGs folder of Airflow 3, with `telltale` installed where tasks run. `telltale judge` ends with 0 for no
drift, 1 for drift (the task fails, and what comes after it does not run) and 2 for no verdict (the task is skipped).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

FOLDER = Path("/srv/telltale")
FEATURES, PREDICTION = ["rooms", "area"], "price"


def count(day: str, folder: str = str(FOLDER)) -> bool:
    """Count the predictions of a day, `<folder>/scored/<day>.parquet`. False: they were counted already."""
    from monitor import Monitor, Reference, tally  # on the worker; Airflow reads this file every few seconds

    reference = Reference.load(f"{folder}/histogram.prom")
    batch = tally([], [], reference)
    for block in pyarrow.parquet.ParquetFile(f"{folder}/scored/{day}.parquet").iter_batches():
        batch += tally(block.select(FEATURES), block[PREDICTION], reference)
    with Monitor.open(reference=reference, data=f"{folder}/data") as monitor:
        return monitor.add(batch, time=day, id=day)


# A run is about the day before it: from `data_interval_start` to `data_interval_end`.
DAY = CronDataIntervalTimetable("@daily", timezone="UTC")

with DAG("telltale", schedule=DAY, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1):
    counted = PythonOperator(task_id="count", python_callable=count, op_args=["{{ data_interval_start | ds }}"])
    judged = BashOperator(
        task_id="judge",
        bash_command=f"telltale judge --data {FOLDER}/data "
        "--from {{ data_interval_start | ds }} --to {{ data_interval_end | ds }}",
        skip_on_exit_code=2,
        retries=0,  # drift is an answer; asked again, it is the same
    )
    counted >> judged
