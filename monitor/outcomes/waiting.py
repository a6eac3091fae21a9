"""Predictions that wait for their outcome, and the ids that callers gave, in files beside the journal.

No feature is kept. All that is here can be written again from the journal, which forgets a segment only once its
records are here and on the disk. So a process that was killed leaves nothing half done: the next start adds what the
journal has and these files have not.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

Numbers = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

#: Bits of a prediction's number that its journal gives: its sequence number. Those above are the number of the journal.
JOURNAL_BITS = 44
_JOURNAL = np.uint64(JOURNAL_BITS)

#: Rows of one file, and of the first one of a journal of another process.
ROWS, FEWEST = 1 << 16, 1 << 12

#: Parts of the time that predictions wait: a file takes predictions for no longer than one of them.
PARTS = 8

#: Ids that are known again at least, if so many were given: the newest ones.
RECENT = 1 << 20

#: First bits of hashes that the filter of known ids looks at, and the fewest ids in it before it is filled again.
FILTER_BITS, MOST_FILTERED = 24, 1 << 22
_FILTER_SHIFT = np.uint64(64 - FILTER_BITS)

#: Rows that are copied at a time: a record's fields are then in the cache when the second one is copied.
COPIED = 4096

_NO_ID = bytes(8)
_MAGIC = int.from_bytes(b"TELLWAIT", "little")
_HEAD = 8
_COUNT, _CAPACITY, _COLUMNS, _SERIES, _ONE_IN, _BEGAN, _WRITTEN = range(1, 8)

#: Columns of a row; its predictions follow. Without an outcome `OUTCOME_SEQ` is 0, and `OUTCOME` says nothing.
SEQ, TIME, OUTCOME, OUTCOME_SEQ, PREDICTIONS = range(5)

#: Time of a row whose caller's id had been used before: `OUTCOME` is the number of the prediction that had it first.
REPEAT = (1 << 64) - 1


def key_of(name: str) -> int:
    """Hash of a caller's id, never 0; two of a million are the same with a chance of 3 in 100 million."""
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


def keys_of(names: Iterable[str]) -> Numbers:
    """Hashes of ids, shape (n,); 0 for an empty text, which stands for no id."""
    texts = [name.encode("utf-8", "surrogatepass") for name in names]
    hashes = [blake2b(name, digest_size=8).digest() if name else _NO_ID for name in texts]
    keys = np.frombuffer(b"".join(hashes), "<u8").astype(np.uint64)
    for zero in np.flatnonzero(keys == 0).tolist():
        keys[zero] = bool(texts[zero])
    return keys


def is_kept(numbers: Numbers, one_in: int) -> npt.NDArray[np.bool_]:
    """Which sequence numbers are kept of all, one in `one_in` (a power of two), shape (n,).

    By a hash (the finalizer of splitmix64), so that the choice depends on nothing else about a prediction. What is kept
    of one in 4 is kept of one in 2 as well.
    """
    mixed = numbers.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    kept: npt.NDArray[np.bool_] = ((mixed ^ (mixed >> np.uint64(31))) & np.uint64(one_in - 1)) == 0
    return kept


class Block:
    """A mapped file of some columns of 64-bit words, which are appended to together.

    The number of rows is written last, so that a kill leaves whole rows. `series`: of its predictions. `one_in`: of how
    many predictions one is kept.
    """

    def __init__(self, path: Path) -> None:
        """Open a file. Raises OSError, and ValueError if it is not one of these."""
        self.path = path
        words: Any = np.memmap(path, "<u8", "r+")
        if len(words) < _HEAD or words[0] != _MAGIC or len(words) != _HEAD + int(words[_CAPACITY] * words[_COLUMNS]):
            raise ValueError(f"{path}: is not a file of waiting predictions")
        self._head: Numbers = words[:_HEAD]
        self.capacity = int(words[_CAPACITY])
        #: Number of the journal that its predictions are in; 0 while there are none.
        self.journal = 0
        #: Whether something was written that may not be on the disk yet.
        self.written_to = True
        self.series, self.one_in = int(words[_SERIES]), int(words[_ONE_IN])
        self.all: npt.NDArray[Any] = words[_HEAD:].reshape(int(words[_COLUMNS]), self.capacity)
        if len(self):
            self.journal = int(self.all[SEQ, 0]) >> JOURNAL_BITS

    @classmethod
    def make(cls, path: Path, columns: int, capacity: int, series: int = 0, one_in: int = 1) -> Block:
        """Make a file with its room on the disk. Raises OSError, and leaves nothing behind, if there is none."""
        head = np.array([_MAGIC, 0, capacity, columns, series, one_in, 0], "<u8")
        try:
            with open(path, "wb", buffering=0, opener=partial(os.open, mode=0o640)) as file:
                # A hole would end the process once the disk is full.
                os.posix_fallocate(file.fileno(), 0, 8 * (_HEAD + columns * capacity))
                file.write(head.tobytes())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return cls(path)

    def __len__(self) -> int:
        return int(self._head[_COUNT])

    @property
    def began(self) -> int:
        """When the first row came, in ns since 1970 UTC."""
        return int(self._head[_BEGAN])

    @property
    def written(self) -> int:
        """When the last row came, in ns since 1970 UTC."""
        return int(self._head[_WRITTEN])

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return 8 * (_HEAD + self.all.size)

    def column(self, index: int) -> Any:
        """Return a column's words, shape (rows,): a view, so that writing to it writes to the file."""
        return self.all[index, : len(self)]

    def write(self, at: int, columns: Mapping[int, Any]) -> None:
        """Write words of some columns from a row on. Raises OSError.

        Not through the mapping: on the first touch of each page the kernel would prepare it for writing, one by one.
        """
        with self.path.open("r+b", buffering=0) as file:
            for index, column in columns.items():
                words = np.ascontiguousarray(column)
                os.pwrite(file.fileno(), words.view(np.uint8).data, 8 * (_HEAD + index * self.capacity + at))

    def append(self, columns: Sequence[Any], now: int) -> None:
        """Append rows for which there is room: a column of words each."""
        begin, end = len(self), len(self) + len(columns[0])
        self.write(begin, dict(enumerate(columns)))
        self.written_to = True
        self._head[_WRITTEN] = now
        if not begin:
            self._head[_BEGAN] = now
            self.journal = int(columns[SEQ][0]) >> JOURNAL_BITS if len(columns[SEQ]) else 0
        self._head[_COUNT] = end

    def cut(self) -> None:
        """Leave out rows that a power cut has taken: the journal still has them, and they are added again."""
        lost = np.flatnonzero(self.column(0) == 0)
        if len(lost):
            self._head[_COUNT] = int(lost[0])

    def replace(self, columns: npt.NDArray[Any], one_in: int) -> Block:
        """Put other rows in the place of these, at once; the file has no room for more. Raises OSError."""
        path, rows = self.path.with_suffix(".new"), max(1, columns.shape[1])
        new = Block.make(path, len(columns), rows, self.series, one_in)
        new.append(list(columns), self.written)
        new._head[_BEGAN], new.journal = self.began, self.journal
        new.sync()
        new.path.replace(self.path)
        new.path = self.path
        return new

    def sync(self) -> None:
        """Bring to the disk what was written since the last time. Raises OSError."""
        if not self.written_to:
            return
        self.written_to = False
        with self.path.open("r+b", buffering=0) as file:
            os.fdatasync(file.fileno())


def _opened(folder: Path, suffix: str) -> list[Block]:
    """Open the files of one kind, in the order in which they were made. A damaged one is kept under another name."""
    blocks = []
    for path in sorted(folder.glob(f"*{suffix}")):
        try:
            block = Block(path)
            block.cut()
            if len(block):
                blocks.append(block)
            else:
                path.unlink()
        except (OSError, ValueError) as error:
            log.error("%s; outcomes for what it has are not joined", error)
            path.replace(path.with_suffix(".damaged"))
    for path in folder.glob("*.new"):
        path.unlink()
    return blocks


def _next_name(folder: Path, suffix: str) -> Path:
    last = max((int(path.stem) for path in folder.glob(f"*{suffix}") if path.stem.isdecimal()), default=0)
    return folder / f"{last + 1:020d}{suffix}"


class Keys:
    """Number of the first prediction with a caller's id, by the id's hash. A full file is sorted by hash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.blocks = _opened(folder, ".keys")
        #: Highest number that was added, by journal.
        self.last: dict[int, int] = {}
        for numbers in (block.column(0) for block in self.blocks):
            journals = numbers >> _JOURNAL
            for journal in np.unique(journals).tolist():
                self.last[journal] = max(int(numbers[journals == journal].max()), self.last.get(journal, 0))
        #: Of the file that is not full, hashes in order with their numbers.
        self._open: tuple[Numbers, Numbers] | None = None
        #: Whether an id may be known, by its hash's first bits: most ids are new, and need no search through all files.
        self._filter: npt.NDArray[np.bool_] | None = None
        self._filtered = self._most_filtered = 0

    def find(self, keys: Numbers) -> Numbers:
        """Sequence numbers, shape (n,), 0 for an id that is not known (any more)."""
        out, likely = np.zeros(len(keys), np.uint64), self._likely(keys)
        wanted, numbers = keys[likely], out[likely]
        for block in self.blocks if len(likely) else ():
            known, whose = self._sorted(block)
            if len(known):
                at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
                numbers = np.where((known[at] == wanted) & (numbers == 0), whose[at], numbers)
        out[likely] = numbers
        return out

    def _likely(self, keys: Numbers) -> npt.NDArray[np.intp]:
        """Positions of the ids that may be known. Fills the filter again once it lets too many through."""
        if not self.blocks:
            return np.zeros(0, np.intp)
        if self._filter is None or self._filtered > self._most_filtered:
            self._filter, self._filtered = np.zeros(1 << FILTER_BITS, bool), 0
            for block in self.blocks:
                self._let_through(block.column(1))
            self._most_filtered = max(MOST_FILTERED, 2 * self._filtered)
        return np.flatnonzero(self._filter[keys >> _FILTER_SHIFT])

    def _let_through(self, keys: Numbers) -> None:
        if self._filter is not None:
            self._filter[keys >> _FILTER_SHIFT] = True
            self._filtered += len(keys)

    def _sorted(self, block: Block) -> tuple[Numbers, Numbers]:
        numbers, keys = block.column(0), block.column(1)
        if block is not self.blocks[-1] or len(block) == block.capacity:
            return keys, numbers
        if self._open is None:
            order = np.argsort(keys, kind="stable")
            self._open = keys[order], numbers[order]
        return self._open

    def add(self, keys: Numbers, numbers: Numbers, now: int) -> None:
        """Add ids that are new, with ascending numbers of one journal. Raises OSError."""
        self._let_through(keys)
        while len(keys):
            if not self.blocks or len(self.blocks[-1]) == self.blocks[-1].capacity:
                self.blocks.append(Block.make(_next_name(self._folder, ".keys"), 2, ROWS))
            block, self._open = self.blocks[-1], None
            rows = min(len(keys), block.capacity - len(block))
            block.append((numbers[:rows], keys[:rows]), now)
            self.last[int(numbers[0]) >> JOURNAL_BITS] = int(numbers[rows - 1])
            if len(block) == block.capacity:
                order = np.argsort(block.column(1), kind="stable")
                self.blocks[-1] = block.replace(block.all[:, order], 1)
            keys, numbers = keys[rows:], numbers[rows:]

    def old(self) -> list[Block]:
        """Files whose ids are older than the newest `RECENT` ones."""
        return self.blocks[: -(RECENT // ROWS + 1)]


class Fields(NamedTuple):
    """Fields of predictions, as their journal has them, in order.

    `numbers`: ascending, of one journal, shape (n,); `times`: in ns; `predictions`: shape (n, p); `keys`: of the
    callers' ids, 0 for none; `firsts`: see `Waiting.firsts`.
    """

    numbers: Numbers
    times: npt.NDArray[np.int64]
    predictions: Floats
    keys: Numbers
    firsts: Numbers


class Places(NamedTuple):
    """Where predictions wait: index of a file, -1 for one that does not wait, and the row in it; both shape (n,)."""

    files: Sequence[Block]
    blocks: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        """Which of them wait."""
        return self.blocks >= 0

    def words(self, column: int) -> Numbers:
        """Words of a column, shape (n,); 0 for a prediction that does not wait."""
        words = np.zeros(len(self.blocks), np.uint64)
        for index in np.unique(self.blocks[self.found]):
            here = self.blocks == index
            words[here] = self.files[index].all[column, self.rows[here]]
        return words

    def of(self, which: npt.NDArray[Any]) -> Places:
        """Some of them, by a mask or by their positions."""
        return Places(self.files, self.blocks[which], self.rows[which])

    def predictions(self, width: int) -> Floats:
        """Return the predictions, shape (n, width)."""
        columns = [self.words(PREDICTIONS + at).view(np.float64) for at in range(width)]
        return np.stack(columns, axis=1)

    def outcomes(self) -> Floats:
        """Return the outcomes that they have, shape (n,), NaN for none."""
        return np.where(self.words(OUTCOME_SEQ) == 0, np.nan, self.words(OUTCOME).view(np.float64))

    def set_outcomes(self, outcomes: Floats, numbers: Numbers) -> None:
        """Write outcomes, NaN for none, with the numbers of their records; the last one of a prediction holds."""
        for index in np.unique(self.blocks[self.found]):
            here = np.flatnonzero(self.blocks == index)
            rows, last = np.unique(self.rows[here][::-1], return_index=True)
            here = here[::-1][last]
            self.files[index].written_to = True
            self.files[index].all[OUTCOME, rows] = outcomes[here].view(np.uint64)
            self.files[index].all[OUTCOME_SEQ, rows] = np.where(np.isnan(outcomes[here]), 0, numbers[here])


class Waiting:
    """Predictions of one model that wait for their outcome, and the ids that callers gave. The writer's thread only.

    A prediction's number is its sequence number and, above `JOURNAL_BITS`, the number of its journal.
    `within`: seconds for which a prediction waits; 0: none does, and only the newest ids are kept. `max_size`: bytes of
    all files; if more wait, one prediction in `one_in` is kept.
    """

    def __init__(self, folder: Path, within: float = 0.0, max_size: int = 0) -> None:
        self._folder, self._within, self._max_size = folder, within, max_size
        folder.mkdir(parents=True, exist_ok=True)
        self._keys, self._rows = Keys(folder), _opened(folder, ".rows")
        self.one_in = max((block.one_in for block in self._rows), default=1)
        #: Whether predictions wait.
        self.keeps = within > 0
        self._part = int(within * 1e9 / PARTS)
        self._full = False

    def last(self, journal: int) -> int:
        """Highest number of a journal that is here; 0 if there is none."""
        last = (int(block.column(SEQ)[-1]) for block in self._rows if block.journal == journal and len(block))
        return max(self._keys.last.get(journal, 0), *last, 0)

    @property
    def newest_journal(self) -> int:
        """Highest number of a journal of which something is here."""
        return max([*self._keys.last, *(block.journal for block in self._rows)], default=0)

    def clear(self) -> None:
        """Forget everything: the numbers are of another database."""
        for block in (*self._keys.blocks, *self._rows):
            block.path.unlink(missing_ok=True)
        self._keys, self._rows, self.one_in = Keys(self._folder), [], 1

    def firsts(self, keys: Numbers, numbers: Numbers) -> Numbers:
        """For each prediction the number of the first one with its caller's id, its own if it is the first or has none.

        `keys`, `numbers`: shape (n,), the numbers ascending.
        """
        with_id = np.flatnonzero(keys)
        firsts = numbers
        if len(with_id):
            firsts = numbers.copy()
            unique, first, group = np.unique(keys[with_id], return_index=True, return_inverse=True)
            known = self._keys.find(unique)
            firsts[with_id] = np.where(known == 0, numbers[with_id][first], known)[group.ravel()]
        return firsts

    def add(self, series: int, fields: Fields, now: int) -> None:
        """Take in predictions that are committed, again or for the first time. Never raises for a full disk.

        `series`: its number; `now`: in ns.
        """
        numbers, keys, firsts = fields.numbers, fields.keys, fields.firsts
        try:
            if firsts is not numbers:
                last = self._keys.last.get(int(numbers[0]) >> JOURNAL_BITS, 0)
                fresh = (keys != 0) & (firsts == numbers) & (numbers > last)
                self._keys.add(keys[fresh], numbers[fresh], now)
            if self.keeps:
                self._add_rows(series, fields, now)
            self._expire(now)
            self._full = False
        except OSError as error:
            if not self._full:
                log.error("predictions cannot wait for their outcomes: %s", error.strerror or error)
            self._full = True

    def _add_rows(self, series: int, fields: Fields, now: int) -> None:
        """Write those of the predictions that are not here yet and that are kept, file by file."""
        numbers, times, predictions, _, firsts = fields
        if not len(numbers):
            return
        journal = int(numbers[0]) >> JOURNAL_BITS
        block = self._open_of(journal)
        last = int(block.column(SEQ)[-1]) if block is not None and len(block) else 0
        begin = int(np.searchsorted(numbers, np.uint64(last), side="right"))
        while begin < len(numbers):
            block = self._file_for(journal, series, PREDICTIONS + predictions.shape[1], now)
            end = min(begin + block.capacity - len(block), len(numbers))
            rows: Any = slice(begin, end)
            if self.one_in > 1:
                rows = begin + np.flatnonzero(is_kept(numbers[rows], self.one_in))
            begin, kept, at = end, numbers[rows], len(block)
            if not len(kept):
                continue
            answers = np.ascontiguousarray(predictions[rows].T)
            block.write(at, {TIME: times[rows], **dict(enumerate(answers, PREDICTIONS))})
            if firsts is not numbers and (repeated := firsts[rows] != kept).any():
                where = at + np.flatnonzero(repeated)
                block.all[TIME, where] = np.uint64(REPEAT)
                block.all[OUTCOME, where] = firsts[rows][repeated]
            block.append((kept,), now)

    def _file_for(self, journal: int, series: int, columns: int, now: int) -> Block:
        """The file that takes a journal's next predictions: the newest one, or a further one if that does not."""
        block, too_old = self._open_of(journal), now - self._part
        if block is not None and block.series == series and len(block) < block.capacity and block.began >= too_old:
            return block
        before = 0 if block is None else len(block)
        self.shut(journal)
        # Of the many other journals that there may be, most have few rows.
        capacity = ROWS if not journal else min(max(FEWEST, 4 * before), ROWS)
        while self._make_room(8 * capacity * columns):
            pass
        block = Block.make(_next_name(self._folder, ".rows"), columns, capacity, series, self.one_in)
        block.journal = journal
        self._rows.append(block)
        return block

    def _open_of(self, journal: int) -> Block | None:
        """The newest file of a journal."""
        return next((block for block in reversed(self._rows) if block.journal == journal), None)

    def shut(self, journal: int) -> None:
        """Give up the room of a journal's newest file: no more predictions come into it. Raises OSError."""
        block = self._open_of(journal)
        if block is not None and len(block) < block.capacity:
            self._rows[self._rows.index(block)] = block.replace(block.all[:, : len(block)], block.one_in)

    def _make_room(self, wanted: int) -> bool:
        """Keep fewer predictions, if there is no room for a further file. Returns whether it does. Raises OSError.

        There is always room for one file, and for the newest ids.
        """
        if self.bytes + wanted <= self._max_size or sum(block.bytes for block in self._rows) <= wanted:
            return False
        self.one_in *= 2
        log.warning("[outcomes] max_size is reached: one prediction in %d waits for its outcome", self.one_in)
        self._rows = [self._thinned(block) for block in self._rows]
        old = self._keys.old()
        self._keys.blocks[: len(old)] = [self._thinned(block) for block in old]
        return True

    def _thinned(self, block: Block) -> Block:
        columns = block.all[:, : len(block)]
        return block.replace(columns[:, is_kept(columns[SEQ], self.one_in)], self.one_in)

    def _expire(self, now: int) -> None:
        """Delete files whose last prediction came longer ago than predictions wait."""
        before = now - int(self._within * 1e9)
        gone = [block for block in self._keys.old() if not self._within or block.written < before]
        gone += [block for block in self._rows if block.written < before]
        for block in gone:
            block.path.unlink(missing_ok=True)
        if gone:
            self._keys.blocks = [block for block in self._keys.blocks if block not in gone]
            self._rows = [block for block in self._rows if block not in gone]

    def take_back(self, applied: int) -> int:
        """Forget outcomes of records of a journal beyond `applied`: the database has lost them. Returns how many."""
        lost, end = 0, ((applied >> JOURNAL_BITS) + 1) << JOURNAL_BITS
        for block in self._rows:
            outcomes = block.column(OUTCOME_SEQ)
            late = np.flatnonzero((outcomes > applied) & (outcomes < end))
            block.all[OUTCOME_SEQ, late] = 0
            lost += len(late)
        return lost

    def by_key(self, keys: Numbers) -> Numbers:
        """Sequence numbers of the predictions with these callers' ids, shape (n,); 0 for an unknown one."""
        return self._keys.find(keys)

    def find(self, numbers: Numbers) -> Places:
        """Find predictions by their numbers, shape (n,); a repeat is found as the prediction that was counted."""
        blocks, rows = np.full(len(numbers), -1), np.zeros(len(numbers), np.intp)
        for index, block in enumerate(self._rows):
            known = block.column(SEQ)
            if not len(known):
                continue
            near = np.flatnonzero((numbers >= known[0]) & (numbers <= known[-1]))
            at = np.searchsorted(known, numbers[near])
            hit = known[at] == numbers[near]
            blocks[near[hit]], rows[near[hit]] = index, at[hit]
        found = Places(self._rows, blocks, rows)
        repeats = np.flatnonzero(found.words(TIME) == REPEAT)
        if len(repeats):
            counted = self.find(found.words(OUTCOME)[repeats])
            blocks[repeats], rows[repeats] = counted.blocks, counted.rows
        return found

    def begins(self, numbers: Numbers) -> Numbers:
        """Lowest number that may wait, of the journal of each number, shape (n,); beyond all numbers if none does."""
        journals, begins = numbers >> _JOURNAL, np.full(len(numbers), np.iinfo(np.uint64).max, np.uint64)
        for journal in np.unique(journals):
            firsts = (block.column(SEQ)[0] for block in self._rows if block.journal == journal and len(block))
            if (first := next(firsts, None)) is not None:
                begins[journals == journal] = first
        return begins

    @property
    def open(self) -> int:
        """How many predictions have no outcome yet."""
        return sum(int((block.column(OUTCOME_SEQ) == 0).sum()) for block in self._rows)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(block.bytes for block in (*self._keys.blocks, *self._rows))

    def sync(self) -> None:
        """Bring what was written since the last time to the disk. Raises OSError."""
        for block in (*self._keys.blocks, *self._rows):
            block.sync()
