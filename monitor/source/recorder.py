"""Records the predictions of a model in a journal of this process; any thread may."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.capture.encode import Encoder
from monitor.capture.journal import Journal
from monitor.capture.names import UnseenNames, names_file
from monitor.clock import Clock
from monitor.columns.column import Floats, Schema
from monitor.config.load import Config
from monitor.outcomes.waiting import Numbers

#: Records one prediction of features and predictions, at `time_ns` (None: now), with the hash `key` of the caller's id
#: (0: none), and returns its sequence number: `Recorder.prefix` and that are the prediction's id. It never raises for
#: what a value is, and the record survives the death of the process. Without room for it, it is counted as dropped.
Record = Callable[..., int]


class Recorder:
    """Records predictions in a folder. `start`: first sequence number; `before`: see `Journal`; `token`: of ids."""

    def __init__(
        self,
        folder: Path,
        schema: Schema,
        config: Config,
        clock: Clock,
        start: int = 1,
        before: Path | None = None,
        token: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.names = UnseenNames(names_file(folder, schema), schema, config.data.keep_unseen)
        self.encoder = Encoder(schema, self.names)
        self.journal = open_journal(folder, schema, len(schema.captured), config, clock, start, before, self.encoder)
        #: First sequence number of this process.
        self.start = start
        #: What the ids of this process's predictions begin with, in no other process ever; the sequence number follows.
        self.token = token or secrets.token_hex(6)
        self.prefix = f"{self.token}-"
        #: Given to `record`, it takes features as `(array.tobytes(),)`; None if values have to be encoded.
        self.pack = self.journal.pack if self.encoder.all_numeric and sys.byteorder == "little" else None
        self.record = self._make_record()

    def _make_record(self) -> Record:
        append, encode = self.journal.append, self.encoder.row
        if self.encoder.all_numeric:
            return append  # which encodes by itself what is no plain number

        def record(
            features: Sequence[Any], predictions: Sequence[Any], time_ns: int | None = None, key: int = 0
        ) -> int:
            return append(encode(features, predictions), (), time_ns, key)

        return record

    def record_many(
        self,
        features: Sequence[Sequence[object]] | npt.NDArray[Any],
        predictions: Sequence[Sequence[object]] | npt.NDArray[Any],
        times_ns: npt.NDArray[np.int64] | None = None,
        keys: Numbers | None = None,
    ) -> list[str]:
        """Record a batch, given as columns: a sequence for each feature and for each prediction. Returns their ids."""
        return self.record_encoded(self.encoder.table([*features, *predictions]), times_ns, keys)

    def record_encoded(
        self, values: Floats, times_ns: npt.NDArray[np.int64] | None = None, keys: Numbers | None = None
    ) -> list[str]:
        """Record a batch that is encoded already, shape (n, captured columns)."""
        return self.ids(self.journal.append_many(values, times_ns, keys).first, len(values)) if len(values) else []

    def ids(self, first: int, rows: int) -> list[str]:
        """Ids of consecutive predictions, from the sequence number of the first."""
        prefix = self.prefix
        return [f"{prefix}{number}" for number in range(first, first + rows)]


def open_journal(
    folder: Path,
    schema: Schema,
    width: int,
    config: Config,
    clock: Clock,
    start: int = 1,
    before: Path | None = None,
    encoder: Encoder | None = None,
) -> Journal:
    """Begin a journal of this process. `width`: values of a record; `start`, `before`: see `Journal`."""
    return Journal(
        folder,
        bytes.fromhex(schema.fingerprint),
        width,
        start=start,
        segment_bytes=config.data.segment,
        sync_always=config.data.sync == 0,
        clock=clock,
        before=before,
        packed=0 if encoder is None else len(schema.features),
        **({} if encoder is None else {"encode": encoder.row}),
    )
