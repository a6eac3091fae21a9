"""The server over real HTTP."""

from __future__ import annotations

from bench.running import ROW, Server


def test_one_row(server: Server) -> None:
    status, answer = server.post(ROW)
    assert status == 200
    assert isinstance(answer["result"], float)
    assert isinstance(answer["prediction_id"], str)
