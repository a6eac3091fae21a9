"""Read a file of rows in chunks: CSV, TSV, JSON lines, and Parquet where pyarrow is installed.

Memory is bounded by the size of a chunk. Of CSV, blocks of plain numbers are read as JSON, which is faster than the csv
module; blocks without quotes are split; all others go through the csv module, which knows quotes.
"""

from __future__ import annotations

import csv
import gc
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from monitor.columns.canonical import Block, to_block
from monitor.columns.column import Floats, Kind
from monitor.errors import DataError
from monitor.reference.build import Chunk
from monitor.tables.parse import BadRows, CellCount, json_numbers, number, numbers, read_cells

#: Bytes of text read at a time; more where there are many columns, for the sake of a few hundred rows.
BLOCK = 2**20

#: A number that no file holds: it stands for the end of a line among numbers, and shows whether all are of one length.
_LINE_END = 1.2345678901234567e-305

_DECIMAL_COMMA = re.compile(r'(?m)(?:^|[;\t])"?[+-]?\d+,\d+"?(?=[;\t]|$)')
_DECIMAL_POINT = re.compile(r'(?m)(?:^|[;\t])"?[+-]?\d+\.\d+"?(?=[;\t]|$)')

#: How files begin that are something else than their name says, and what to do.
_MAGIC = {
    b"\x1f\x8b": "is compressed with gzip; let its name end in .gz",
    b"PK\x03\x04": "is a ZIP archive, as Excel files are; unpack it, or save it as CSV",
    b"PAR1": "is a Parquet file; let its name end in .parquet",
    b"\xff\xfe": "is UTF-16; save it as UTF-8, or: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8, or: iconv -f UTF-16 -t UTF-8",
}

Bytes = gzip.GzipFile | io.BufferedReader
Progress = Callable[[int], object]


class Reader:
    """Rows of one file.

    `names`: its columns. `chunks(wanted, kinds)` yields blocks for the wanted columns. `bad`: the rows that could not
    be used. `lines`: the line (Parquet: row) of each row of the chunk that was yielded last. `tallies`: what the cells
    of each wanted column were, complete once all chunks were read.
    """

    def __init__(self, path: Path, bad: BadRows, progress: Progress = lambda _: None) -> None:
        self.path, self.bad, self.progress = path, bad, progress
        self.names: tuple[str, ...] = ()
        self.lines: Sequence[int] = ()
        self.tallies: dict[str, CellCount] = {}

    def chunks(self, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> Iterator[Chunk]:
        """Blocks of the wanted columns, in that order. Raises DataError that names the line."""
        raise NotImplementedError

    def _check_names(self, names: Sequence[str]) -> tuple[str, ...]:
        seen: dict[str, int] = {}
        for position, name in enumerate(names, 1):
            if name in seen:
                raise DataError(
                    f"{self.path}: columns {seen[name]} and {position} are both called {name!r}; rename one"
                )
            seen[name] = position
        return tuple(names)


def open_reader(path: Path, bad: BadRows, progress: Progress = lambda _: None) -> Reader:
    """Choose the reader by the file's name. Raises DataError."""
    kinds: dict[str, Callable[[], Reader]] = {
        ".csv": lambda: CsvReader(path, bad, progress, ","),
        ".tsv": lambda: CsvReader(path, bad, progress, "\t"),
        ".jsonl": lambda: JsonReader(path, bad, progress),
        ".ndjson": lambda: JsonReader(path, bad, progress),
        ".parquet": lambda: ParquetReader(path, bad, progress),
    }
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    known = kinds.get(plain.suffix.lower())
    if known is None:
        raise DataError(
            f"{path}: cannot tell its format; the name must end in one of {', '.join(kinds)} (text also with .gz)"
            + ("; JSON is read as .jsonl, an object a line" if plain.suffix.lower() == ".json" else "")
        )
    try:
        return known()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


class CsvReader(Reader):
    """CSV or TSV with a line of names; quotes as in RFC 4180, UTF-8 with or without a mark.

    Where the names are parted by semicolons, tabs or bars instead, the cells are too; `comma` says whether decimals
    follow a comma then, as they do where the beginning of the file has such numbers and none with a point.
    """

    def __init__(self, path: Path, bad: BadRows, progress: Progress, delimiter: str) -> None:
        super().__init__(path, bad, progress)
        with _open(path) as file:
            header = next(_text_blocks(file, path, lambda _: None, 2**16), (1, ""))[1]
        first = header.partition("\n")[0]
        if not first.strip():
            raise DataError(f"{path}: is empty" if not header.strip() else f"{path}, line 1: holds no column names")
        if "\r" in first:
            raise DataError(f"{path}: its lines end in carriage returns alone; make them newlines: tr '\\r' '\\n'")
        self.delimiter = delimiter = next((mark for mark in (delimiter, *";\t|,") if mark in first), delimiter)
        self.comma = delimiter != "," and bool(_DECIMAL_COMMA.search(header) and not _DECIMAL_POINT.search(header))
        reader = csv.reader(io.StringIO(header), delimiter=delimiter)
        names = next(reader)
        self._header_lines = reader.line_num
        if all(name.strip() and number(name, self.comma) is not None for name in names):
            raise DataError(f"{path}, line 1: holds numbers where column names belong; add a line of names")
        self.names = self._check_names([name.strip() or f"unnamed: {position}" for position, name in enumerate(names)])

    def chunks(self, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> Iterator[Chunk]:
        """Blocks of the wanted columns, in that order. Raises DataError that names the line."""
        positions = [self.names.index(name) for name in wanted]
        self.tallies = {name: CellCount() for name in wanted}
        with _open(self.path) as file:
            for first, text in _text_blocks(file, self.path, self.progress, block_size(len(self.names))):
                skip = self._header_lines if first == 1 else 0
                if skip:
                    text = text.split("\n", skip)[-1] if text.count("\n") >= skip else ""
                if not text or text.isspace():
                    continue
                with _no_collection():
                    chunk = self._plain(text, first + skip, positions, wanted, kinds)
                    if chunk is None:
                        chunk = self._with_csv(text, first + skip, positions, wanted, kinds)
                if chunk and len(chunk[0]):
                    yield chunk

    def _plain(
        self, text: str, first: int, positions: list[int], wanted: Sequence[str], kinds: Mapping[str, Kind]
    ) -> Chunk | None:
        """The short ways, for text without quotes and blank lines; None where it takes the csv module to say more."""
        text = text.removesuffix("\n")
        if '"' in text or "\n\n" in text or text.startswith("\n") or "\r" in text:
            return None
        height = text.count("\n") + 1
        self.lines = range(first, first + height)
        if not any(kinds.get(name) == "categorical" for name in wanted):
            rows = self._numbers(text, height)
            if rows is not None:
                for name in wanted:
                    self.tallies[name].numbers += height
                return list(np.ascontiguousarray(rows.T[positions]))
        # Each end of line becomes a cell of its own: where those lie tells whether all lines are of one length.
        cells = f"{text}\n".replace("\n", f"{self.delimiter}\n{self.delimiter}").split(self.delimiter)
        step = len(self.names) + 1
        if len(cells) != height * step + 1 or set(cells[step - 1 :: step]) != {"\n"}:
            return None
        columns = [cells[position:-1:step] for position in positions]
        for name, column in zip(wanted, columns, strict=True):
            if kinds.get(name) == "numeric" and numbers(column, self.comma) is None:
                return None
        return self._blocks(columns, self.lines, wanted, kinds)

    def _numbers(self, text: str, height: int) -> Floats | None:
        """Rows of nothing but numbers; None where a cell is something else, or a line of another length."""
        delimiter = self.delimiter
        if "n" in text:  # null
            return None
        if delimiter != ",":
            if self.comma:
                text = text.replace(".", "_").replace(",", ".")
            elif "," in text:
                return None
            text = text.replace(delimiter, ",")
        values = json_numbers(text.replace("\n", f",{_LINE_END},") + f",{_LINE_END}")
        if values is None:  # perhaps for its empty cells; to look for these first would cost as much as all the rest
            values = json_numbers(_with_null(text).replace("\n", f",{_LINE_END},") + f",{_LINE_END}")
        if values is None or values.size != height * (len(self.names) + 1):
            return None
        rows = values.reshape(height, -1)
        return rows[:, :-1] if bool((rows[:, -1] == _LINE_END).all()) else None

    def _with_csv(
        self, text: str, first: int, positions: list[int], wanted: Sequence[str], kinds: Mapping[str, Kind]
    ) -> Chunk:
        # StringIO parts lines at newlines only; str.splitlines would also do so at a dozen rarer characters.
        reader = csv.reader(io.StringIO(text), delimiter=self.delimiter, strict=not self.bad.skip)
        rows: list[list[str]] = []
        try:
            rows.extend(reader)
        except csv.Error as error:
            line = first + sum(map(_height, rows))
            never = "a quote opens here and never closes" if "end of data" in str(error) else f"not CSV: {error}"
            raise DataError(f"{self.path}, line {line}: {never}") from error
        lines: Sequence[int] = range(first, first + len(rows))
        if reader.line_num != len(rows):  # a quoted cell runs over several lines
            lines = _line_numbers(rows, first)
        if rows and rows[-1] and "\n" in rows[-1][-1] and not text.rstrip("\n").endswith('"'):
            self.bad.add(lines[-1], "a quote opens here and never closes", _height(rows[-1]))
            lines, rows = lines[:-1], rows[:-1]
        width = len(self.names)
        if any(len(row) != width for row in rows):
            kept = []
            for line, row in zip(lines, rows, strict=True):
                if len(row) == width:
                    kept.append((line, row))
                elif row:  # a blank line is no row
                    height = _height(row)
                    hint = f"; a quote that opens here closes {height - 1} lines below" if height > 1 else ""
                    what = f"the first line names {width} columns, here the number is {len(row)}{hint}"
                    self.bad.add(line, what, height)
            lines, rows = [line for line, _ in kept], [row for _, row in kept]
        numeric = [position for name, position in zip(wanted, positions, strict=True) if kinds.get(name) == "numeric"]
        if numeric:
            lines, rows = self._without_texts(lines, rows, numeric)
        if not rows:
            return []
        columns = list(zip(*rows, strict=True))
        return self._blocks([columns[position] for position in positions], lines, wanted, kinds)

    def _blocks(
        self, columns: Sequence[Sequence[str]], lines: Sequence[int], wanted: Sequence[str], kinds: Mapping[str, Kind]
    ) -> Chunk:
        self.lines = lines
        return [
            read_cells(column, kinds.get(name), lines, self.tallies[name], self.comma)
            for name, column in zip(wanted, columns, strict=True)
        ]

    def _without_texts(
        self, lines: Sequence[int], rows: list[list[str]], numeric: list[int]
    ) -> tuple[Sequence[int], list[list[str]]]:
        """Take out the rows in which a column declared numeric holds a text."""
        kept_lines, kept = [], []
        for line, row in zip(lines, rows, strict=True):
            wrong = next((position for position in numeric if number(row[position], self.comma) is None), None)
            if wrong is None:
                kept_lines.append(line)
                kept.append(row)
            else:
                self.bad.add(line, f"column {self.names[wrong]!r} holds {row[wrong][:40]!r}, which is no number")
        return kept_lines, kept


class JsonReader(Reader):
    """JSON lines: one object a line, the same keys in each; a key that is left out is a missing value."""

    def __init__(self, path: Path, bad: BadRows, progress: Progress) -> None:
        super().__init__(path, bad, progress)
        with _open(path) as file:
            first = next(_text_blocks(file, path, lambda _: None, BLOCK), None)
        rows = self._rows(first[1], 1, BadRows(str(path), skip=True)) if first else []
        if not rows:
            hint = "; a list of objects becomes such lines with: jq -c '.[]'" if first and first[1][0] == "[" else ""
            raise DataError(f"{path}: holds no line with a JSON object{hint}")
        self.names = self._check_names(list(dict.fromkeys(name for _, row in rows for name in row)))

    def chunks(self, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> Iterator[Chunk]:
        """Blocks of the wanted columns, in that order. Raises DataError that names the line."""
        self.tallies = {name: CellCount() for name in wanted}
        known = set(self.names)
        with _open(self.path) as file:
            for first, text in _text_blocks(file, self.path, self.progress, block_size(len(self.names))):
                rows = []
                for line, row in self._rows(text, first, self.bad):
                    if what := _wrong_in(row, known, wanted, kinds):
                        self.bad.add(line, what)
                    else:
                        rows.append((line, row))
                if rows:
                    self.lines = [line for line, _ in rows]
                    yield [self._block(name, rows, kinds.get(name)) for name in wanted]

    def _block(self, name: str, rows: list[tuple[int, dict[str, Any]]], declared: Kind | None) -> Block:
        values = [row.get(name) for _, row in rows]
        tally = self.tallies[name]
        is_text = [isinstance(value, (str, bool)) for value in values]
        tally.texts += sum(is_text)
        tally.numbers += sum(value is not None for value in values) - sum(is_text)
        if tally.first_text is None and any(is_text):
            position = is_text.index(True)
            tally.first_text = (rows[position][0], str(values[position]))
        return to_block(values, name, declared)

    def _rows(self, text: str, first: int, bad: BadRows) -> list[tuple[int, dict[str, Any]]]:
        rows = []
        for line, content in enumerate(text.split("\n"), first):
            if not content.strip():
                continue
            try:
                row = json.loads(content)
            except (ValueError, RecursionError) as error:
                bad.add(line, f"not valid JSON: {error}")
                continue
            if isinstance(row, dict):
                rows.append((line, row))
            else:
                bad.add(line, f"holds {type(row).__name__} where an object belongs")
        return rows


def _wrong_in(row: dict[str, Any], known: set[str], wanted: Sequence[str], kinds: Mapping[str, Kind]) -> str | None:
    """Say what makes a row of JSON useless; None where nothing does."""
    if not row.keys() <= known:
        return f"has a key {sorted(row.keys() - known)[0]!r} that no row before had"
    for name in wanted:
        value = row.get(name)
        if isinstance(value, (dict, list)):
            return f"column {name!r} holds a nested value"
        if kinds.get(name) == "numeric" and isinstance(value, (str, bool)):
            return f"column {name!r} holds {str(value)[:40]!r}, which is no number"
    return None


class ParquetReader(Reader):
    """Parquet, through pyarrow, which is an extra."""

    def __init__(self, path: Path, bad: BadRows, progress: Progress) -> None:
        super().__init__(path, bad, progress)
        try:
            parquet = import_module("pyarrow.parquet")
        except ImportError:
            raise DataError(f"{path}: reading Parquet needs pyarrow; `pip install pyarrow`") from None
        try:
            self._file = parquet.ParquetFile(path)
        except (OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise DataError(f"{path}: not a Parquet file: {error}") from error
        self.names = self._check_names(self._file.schema_arrow.names)

    def chunks(self, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> Iterator[Chunk]:
        """Blocks of the wanted columns, in that order."""
        self.tallies = {name: CellCount() for name in wanted}
        size, total = self.path.stat().st_size, max(1, self._file.metadata.num_rows)
        seen = 0
        for batch in self._file.iter_batches(batch_size=65_536, columns=list(wanted)):
            self.progress(size * batch.num_rows // total)
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            self.lines = range(seen + 1, seen + 1 + batch.num_rows)
            seen += batch.num_rows
            yield [self._block(columns[name], name, kinds.get(name)) for name in wanted]

    def _block(self, column: Any, name: str, declared: Kind | None) -> Block:
        try:
            return to_block(column, name, declared)
        except DataError as error:
            raise DataError(f"{self.path}, rows from {self.lines[0]}: {error}") from None


def block_size(columns: int) -> int:
    """Bytes to read at a time from a file of so many columns.

    >>> block_size(10), block_size(1_000)
    (1048576, 8192000)
    """
    return max(BLOCK, min(16 * BLOCK, BLOCK // 128 * columns))


def _open(path: Path) -> Bytes:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def _text_blocks(file: Bytes, path: Path, progress: Progress, size: int) -> Iterator[tuple[int, str]]:
    """Whole lines of text, about `size` bytes at a time, each with the number of its first line.

    A block does not end within quotes, unless they stay open for longer than any field may be. `progress` is told of
    the bytes of the file itself, also of a compressed one. Raises DataError where the text is not UTF-8, with the line.
    """
    line, told = 1, 0
    raw: Any = file.fileobj if isinstance(file, gzip.GzipFile) else file
    while block := _read_block(file, path, size):
        place = raw.tell()
        progress(place - told)
        told = place
        if line == 1:
            what = next((what for magic, what in _MAGIC.items() if block.startswith(magic)), None)
            if what is None and b"\0" in block[:1_000]:
                what = "holds NUL bytes, so it is no text; if it is UTF-16: iconv -f UTF-16LE -t UTF-8"
            if what:
                raise DataError(f"{path}: {what}")
            block = block.removeprefix(b"\xef\xbb\xbf")
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError as error:
            where = line + block.count(b"\n", 0, error.start)
            raise DataError(
                f"{path}, line {where}: byte {block[error.start]:#04x} is not UTF-8; "
                "for a file from an older Windows: iconv -f WINDOWS-1252 -t UTF-8"
            ) from None
        lines = block.count(b"\n")
        yield line, text.replace("\r\n", "\n") if "\r" in text else text
        line += lines


def _read_block(file: Bytes, path: Path, size: int) -> bytes:
    try:
        block = file.read(size)
        block += file.readline()
        limit = len(block) + 2**17
        while block.count(b'"') % 2 and len(block) < limit and (more := file.readline()):
            block += more
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return block


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector, which would look again and again at a hundred thousand fresh lists."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _with_null(text: str) -> str:
    r"""Write `null` into empty cells.

    >>> _with_null(",1,,\n,,,2")
    'null,1,null,null\nnull,null,null,2'
    """
    text = text.replace(",,", ",null,").replace(",,", ",null,")
    return f"\n{text}\n".replace("\n,", "\nnull,").replace(",\n", ",null\n")[1:-1]


def _height(row: list[str]) -> int:
    """Lines that a row takes: quoted cells may run over several."""
    return 1 + sum(cell.count("\n") for cell in row)


def _line_numbers(rows: list[list[str]], first: int) -> list[int]:
    """Line on which each row begins."""
    return list(accumulate(map(_height, rows), initial=first))[:-1]
