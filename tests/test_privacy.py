"""What is stored of people's data: no value of a column that is not watched by category, and no more than was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from monitor.__main__ import main
from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.notify.message import Message
from monitor.notify.text import lay_out
from monitor.questions import Answers
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.store.audit.verify import verify
from monitor.store.file.database import connect_read_only
from server.web.app import create_app
from tests.store.world import MIDNIGHT

PAGES = (
    "/",
    "/alerts",
    "/monitor",
    "/silence",
    "/column/prediction?name=prediction",
    "/api/status",
    "/api/drift",
    "/api/alerts",
)
COLUMNS = tuple(f"/column/feature?name={name}" for name in ("customer", "colour", "amount"))

#: What no file, page or message may have: an id seen in training, an id, a text in a column of numbers.
NEVER = ("canary-known", "canary-id", "canary-note")
COLOURS = tuple(f"canary-colour-{i}" for i in range(3))


def reference() -> Reference:
    rng = np.random.default_rng(3)
    rows = [[f"canary-known-{i}", ("red", "green")[i % 2], float(x)] for i, x in enumerate(rng.normal(size=600))]
    return Reference.from_data(rows, rng.normal(size=600).tolist(), names=["customer", "colour", "amount"])


def open_runtime(folder: Path, keep: int = 100, clock: ManualClock | None = None) -> Runtime:
    text = f'[data]\npath = "{folder}"\nkeep_unseen = {keep}\n'
    (folder.parent / "config.toml").write_text(text, "utf-8")
    return Runtime.of_one(Config.from_text(text), reference(), "v1", clock or ManualClock(MIDNIGHT))


def record(runtime: Runtime, minutes: int = 40, colour: str = "canary-colour") -> None:
    """Customers, and colours that nobody knows, through the whole monitor."""
    assert isinstance(runtime.clock, ManualClock)
    for minute in range(minutes):
        for row in range(20):
            customer = f"canary-id-{minute}-{row}"
            runtime.only.record([customer, f"{colour}-{row % 3}", "canary-note" if row % 7 else 0.5], [0.1])
        runtime.clock.advance(60)
        runtime.evaluate()


def in_files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def shown(runtime: Runtime) -> Iterator[str]:
    """All that a person or a program is shown: pages, their JSON and CSV, the API, /metrics, messages."""
    client = create_app(runtime).test_client()
    for page in (*PAGES, *COLUMNS, "/api/windows?from=1970-01-01"):
        forms = (
            [page]
            if page.startswith("/api")
            else [page + ("&" if "?" in page else "?") + f for f in ("", "format=json", "format=csv")]
        )
        for address in forms:
            answer = client.get(address)
            assert answer.status_code == 200, address
            yield answer.get_data(as_text=True)
    yield runtime.metrics()[0].decode()
    with closing(connect_read_only(runtime.folder.database)) as connection:
        for (message,) in connection.execute("SELECT message FROM notifications"):
            yield message + repr(lay_out(Message.from_json(json.loads(message))))


def exported(folder: Path) -> str:
    """A report of both formats, and a snapshot."""
    home = folder.parent
    config = ("--config", str(home / "config.toml"))
    for name, *arguments in (("r.html", "report", "--out"), ("r.json", "report", "--format", "json", "--out")):
        span = ("--from", "2023-11-15T00:00Z", "--to", "2023-11-15T00:40Z")
        assert main([*arguments, str(home / name), "--force", *span, *config]) == 0
    assert main(["snapshot", str(home / "s.db"), *config]) == 0
    return "".join((home / name).read_bytes().decode("utf-8", "replace") for name in ("r.html", "r.json", "s.db"))


def canaries(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    return [word for word in (*NEVER, *COLOURS) if word.encode() in data]


def run(folder: Path, *arguments: str) -> int:
    return main(["erase", *arguments, "--data", str(folder)])


@pytest.mark.parametrize("keep", [0, 2, 100])
def test_only_unseen_values_of_watched_columns_are_kept_and_no_more_than_asked(tmp_path: Path, keep: int) -> None:
    folder = tmp_path / "data"
    runtime = open_runtime(folder, keep)
    record(runtime)
    kept = list(COLOURS[:keep])
    assert canaries(in_files(folder)) == kept
    assert canaries("".join(shown(runtime))) == kept
    runtime.close()
    assert canaries(in_files(folder)) == kept
    assert canaries(exported(folder)) == kept


def test_after_erase_no_kept_unseen_value_is_left_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    runtime = open_runtime(folder)
    record(runtime)
    runtime.close()
    aside = folder / "telltale.db.damaged-2023-11-15T000000Z"
    aside.write_text("canary-colour-1")
    assert run(folder, "--dry-run") == 0
    assert "3 unseen values would be erased" in capsys.readouterr().out
    assert canaries(in_files(folder)) == list(COLOURS)
    assert aside.exists()
    assert run(folder, "--author", "ada", "--reason", "asked to") == 0
    assert "3 unseen values erased" in capsys.readouterr().out
    assert canaries(in_files(folder)) == []
    assert not aside.exists()
    assert main(["verify", "--recompute", "--data", str(folder)]) == 0
    with closing(connect_read_only(folder / "telltale.db")) as connection:
        (row,) = connection.execute("SELECT * FROM erasures").fetchall()
        named = connection.execute("SELECT DISTINCT direction FROM drift WHERE \"column\" = 'colour'").fetchall()
    assert (row["author"], row["reason"], row["erased"]) == ("ada", "asked to", 3)
    assert json.loads(row["columns"]) == [["feature", "colour"]]
    assert row["verdicts"] > 30
    assert row["messages"] > 0
    assert any("unseen values" in str(text) for (text,) in named)
    runtime = open_runtime(folder)
    assert canaries("".join(shown(runtime))) == []
    runtime.close()
    assert canaries(exported(folder)) == []
    assert main(["verify", "--data", str(tmp_path / "data"), str(tmp_path / "s.db")]) == 0


def test_a_running_server_forgets_at_once_and_keeps_what_comes_later(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    runtime = open_runtime(folder)
    record(runtime)
    for row in range(20):
        runtime.only.record(["canary-id", COLOURS[row % 3], 0.5], [0.1])  # in the journal when the names go
    answers = Answers(folder, runtime)
    assert run(folder) == 0
    answers.stop()
    assert canaries(in_files(folder)) == []
    assert canaries("".join(shown(runtime))) == []
    record(runtime, 3)
    assert canaries(in_files(folder)) == list(COLOURS)
    runtime.close()
    with closing(connect_read_only(folder / "telltale.db")) as connection:
        assert verify(connection).ok
        counted = dict(connection.execute("SELECT value, count FROM unseen_values").fetchall())
    assert sum(counted.values()) == 60


def test_one_value_or_one_column_is_erased_and_the_others_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    runtime = open_runtime(folder)
    record(runtime)
    runtime.close()
    assert run(folder, "amount") == 2
    assert "no categorical column fits 'amount'; there are: colour, customer" in capsys.readouterr().err
    assert run(folder, "customer") == 0
    assert canaries(in_files(folder)) == list(COLOURS)
    assert run(folder, "col*", "--value", "canary-colour-1") == 0
    assert canaries(in_files(folder)) == [COLOURS[0], COLOURS[2]]
    assert main(["verify", "--data", str(folder)]) == 0
    assert run(folder, "role:feature") == 0
    assert canaries(in_files(folder)) == []


def test_names_with_any_characters_and_damaged_lines_are_erased(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    runtime = open_runtime(folder)
    record(runtime, 40, 'canary-colour, was 5 %, now 6 % (grün\n"\\\u2028')
    runtime.close()
    (names,) = (folder / "journal").glob("unseen-*.jsonl")
    with names.open("ab") as file:
        file.write(b'[1, "canary-colour-0')
    size = names.stat().st_size
    assert run(folder) == 0
    assert b"canary-colour" not in in_files(folder)
    assert names.stat().st_size == size
    assert main(["verify", "--data", str(folder)]) == 0


def test_unseen_classes_that_a_message_says_of_the_predictions_are_erased(tmp_path: Path) -> None:
    folder, rng = tmp_path / "data", np.random.default_rng(4)
    config = Config.from_text(f'[data]\npath = "{folder}"\n')
    known = Reference.from_data({"amount": rng.normal(size=600)}, ["yes", "no"] * 300)
    runtime = Runtime.of_one(config, known, "v1", ManualClock(MIDNIGHT))
    for _ in range(200):
        runtime.only.record([3.0], ["canary-colour-1"])
    assert isinstance(runtime.clock, ManualClock)
    runtime.clock.advance(60)
    runtime.evaluate()
    runtime.close()
    with closing(connect_read_only(folder / "telltale.db")) as connection:
        told = [json.loads(row[0])["answers"] for row in connection.execute("SELECT message FROM notifications")]
    assert any("canary-colour-1" in answers for answers in told)
    assert run(folder, "--author", "ada", "--reason", "asked to") == 0
    assert canaries(in_files(folder)) == []
