"""Chunks kept for a second pass: in memory while they are few, in a nameless temporary file above that."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from monitor.columns.canonical import Block
from monitor.errors import DataError
from monitor.reference.build import Chunk

#: Bytes kept in memory before the disk is used: about 800,000 rows of 20 numbers.
MEMORY = 2**27


class Spool(AbstractContextManager["Spool"]):
    """A table that is written once, chunk by chunk, and then read as often as asked.

    The file has no name on disk: a crash leaves nothing behind. It lies in `folder`, as the usual place for temporary
    files is often memory.
    """

    def __init__(self, names: Sequence[str], folder: Path, memory: int = MEMORY) -> None:
        self.names, self.rows = tuple(names), 0
        self._file = tempfile.SpooledTemporaryFile(memory, dir=str(folder))  # noqa: SIM115  # closed by __exit__
        self._places: list[list[int]] = []

    def append(self, chunk: Chunk) -> None:
        """Keep one more chunk. Raises DataError if the disk is full."""
        places = []
        try:
            for block in chunk:
                places.append(self._file.tell())
                pickle.dump(block, self._file, protocol=5)
        except OSError as error:
            raise DataError(f"no room for a temporary copy of the data: {error.strerror or error}") from error
        self._places.append(places)
        self.rows += len(chunk[0]) if chunk else 0

    def chunks(self, positions: Sequence[int] | None = None) -> Iterator[Chunk]:
        """All chunks, in order: every column, or those at some positions."""
        for places in self._places:
            yield [self._load(place) for place in (places if positions is None else map(places.__getitem__, positions))]

    def _load(self, place: int) -> Block:
        if self._file.tell() != place:  # a seek throws away what was read ahead
            self._file.seek(place)
        block: Block = pickle.load(self._file)  # noqa: S301  # written by this process, into a file without a name
        return block

    def __exit__(self, *_: object) -> None:
        self._file.close()
