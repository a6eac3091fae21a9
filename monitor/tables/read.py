"""Read a file of rows in chunks of bounded size: CSV, TSV, JSON lines, and Parquet if pyarrow is installed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from monitor.columns.canonical import (
    MISSING_CELLS,
    Block,
    canonical_items,
    cell_number,
    column_name,
    declares_categories,
    text_number,
    to_block,
)
from monitor.columns.column import Kind
from monitor.errors import DataError
from monitor.reference.build import Chunk
from monitor.tables.parse import QUOTED_EMPTY, BadRows, CellCount, numbers, read_cells

#: Bytes of text read at a time; more if there are many columns, for the sake of a few hundred rows.
BLOCK = 2**20

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

#: A quoted cell, from where a cell begins.
_QUOTED = re.compile(r'(?:(?<=[,;\t|\n])|\A)"(?:[^"]|"")*"')

Bytes = gzip.GzipFile | io.BufferedReader
Progress = Callable[[int], object]

#: Lines of some rows, and a column of cells, or of numbers, for each wanted name.
Rows = tuple[Sequence[int], list[Any]]


class Reader(ABC):
    """Rows of one file.

    `names`: its columns. `bad`: the rows that could not be used. `lines`: the line (Parquet: row) of each row of the
    chunk that was yielded last. `tallies`: what the cells of each wanted column were, complete once all chunks were
    read. `written`: columns to be read as they are written, since some of their cells are texts. `declared`: columns
    that the file itself says to hold categories.
    """

    def __init__(self, path: Path, bad: BadRows, progress: Progress = lambda _: None) -> None:
        self.path, self.bad, self.progress = path, bad, progress
        self.names: tuple[str, ...] = ()
        self.lines: Sequence[int] = ()
        self.tallies: dict[str, CellCount] = {}
        self.written: set[str] = set()
        self.declared: dict[str, Kind] = {}

    def chunks(self, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> Iterator[Chunk]:
        """Blocks of the wanted columns, in that order. Raises DataError that names the line."""
        self.tallies = {name: CellCount() for name in wanted}
        kinds = {**kinds, **dict.fromkeys(self.written, "categorical")}
        for lines, columns in self._rows(wanted, kinds):
            self.lines = lines
            if lines:
                pairs = zip(wanted, columns, strict=True)
                yield [self._block(column, kinds.get(name), name) for name, column in pairs]

    @abstractmethod
    def _rows(self, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> Iterator[Rows]: ...

    @abstractmethod
    def _block(self, column: Any, declared: Kind | None, name: str) -> Block: ...

    def torn(self) -> set[str]:
        """Columns of which some blocks were read as numbers and others as texts: `written` is for them."""
        return {name for name, cells in self.tallies.items() if len(cells.forms) > 1} - self.written

    def _check_names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Canonical names. Raises DataError if two columns have one."""
        seen: dict[str, int] = {}
        for position, name in enumerate(map(column_name, names), 1):
            if name in seen:
                which = f"columns {seen[name]} and {position}"
                raise DataError(f"{self.path}: {which} are both called {name!r}; rename one")
            seen[name] = position
        return tuple(seen)


def open_reader(path: Path, bad: BadRows, progress: Progress = lambda _: None) -> Reader:
    """Choose the reader by the file's name. Raises DataError."""
    kinds: dict[str, Callable[..., Reader]] = {".csv": CsvReader, ".tsv": partial(CsvReader, delimiter="\t")}
    kinds |= {".jsonl": JsonReader, ".ndjson": JsonReader, ".parquet": ParquetReader}
    suffix = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
    if suffix not in kinds:
        raise DataError(
            f"{path}: cannot tell its format; the name must end in one of {', '.join(kinds)} (text also with .gz)"
            + ("; JSON is read as .jsonl, an object a line" if suffix == ".json" else "")
        )
    try:
        return kinds[suffix](path, bad, progress)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


class CsvReader(Reader):
    """CSV or TSV with a line of names; quotes as in RFC 4180, UTF-8 with or without a byte order mark.

    If the names are separated by semicolons, tabs or bars instead, the cells are too; `comma` says whether decimals
    follow a comma then, as they do if the beginning of the file has such numbers and none with a point.

    A block is read by pyarrow if it is installed and can, and otherwise by the csv module.
    """

    def __init__(self, path: Path, bad: BadRows, progress: Progress, delimiter: str = ",") -> None:
        super().__init__(path, bad, progress)
        header = next(_text_blocks(path, size=2**16), (1, ""))[1]
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
        if all(name.strip() and cell_number(name, self.comma) is not None for name in names):
            raise DataError(f"{path}, line 1: holds numbers where column names belong; add a line of names")
        self.names = self._check_names([name.strip() or f"unnamed: {position}" for position, name in enumerate(names)])
        self._texts: set[str] = set()

    def _rows(self, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> Iterator[Rows]:
        self._texts = {name for name in wanted if kinds.get(name) == "categorical"}
        numeric = [self.names.index(name) for name in wanted if kinds.get(name) == "numeric"]
        for first, text in _text_blocks(self.path, self.progress, block_size(len(self.names))):
            if first == 1:
                text = "".join(text.split("\n", self._header_lines)[self._header_lines :])
                first += self._header_lines
            if text and not text.isspace():
                lines = range(first, first + text.count("\n") + (not text.endswith("\n")))
                columns = self._with_arrow(text, len(lines), wanted, kinds)
                yield (lines, columns) if columns else self._with_csv(text, first, wanted, numeric)

    def _block(self, column: Any, declared: Kind | None, name: str) -> Block:
        block = read_cells(column, declared, self.lines, self.tallies[name], self.comma)
        if isinstance(block, list):
            self._texts.add(name)
        return block

    def _with_arrow(self, text: str, count: int, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> list[Any] | None:
        """A block by pyarrow; None if it is not installed, or if only the csv module can read the block."""
        if _arrow() is None or "\r" in text or not _simply_quoted(text, self.delimiter):
            return None
        content = text.encode()
        # First the columns known to be texts; if that fails, all of them.
        for text_columns in (self._texts | _zero_led_columns(content, self.delimiter, self.names), set(wanted)):
            try:
                table = self._arrow_table(content, wanted, text_columns)
            except ValueError:  # a text among numbers, or a line of another length
                continue
            columns: list[Any] = []
            for name, column in zip(wanted, table.columns, strict=True):
                columns.append(column.to_pylist() if name in text_columns else np.ascontiguousarray(column.to_numpy()))
                must_be_numbers = name in text_columns and kinds.get(name) == "numeric"
                if must_be_numbers and numbers(columns[-1], "numeric", self.comma) is None:
                    return None
            return columns if table.num_rows == count else None  # blank lines are no rows
        return None

    def _arrow_table(self, content: bytes, wanted: Sequence[str], text_columns: Collection[str]) -> Any:
        """Read a block, the `text_columns` as texts and the others as numbers. Raises ValueError."""
        arrow, reader = _arrow()  # type: ignore[misc]  # it is installed
        return reader.read_csv(
            io.BytesIO(content),
            reader.ReadOptions(column_names=list(self.names), block_size=len(content) + 1, use_threads=False),
            reader.ParseOptions(delimiter=self.delimiter, quote_char='"' if b'"' in content else False),
            reader.ConvertOptions(
                include_columns=list(wanted),
                column_types={name: arrow.string() if name in text_columns else arrow.float64() for name in wanted},
                null_values=list(MISSING_CELLS),
                decimal_point="," if self.comma else ".",
            ),
        )

    def _with_csv(self, text: str, first: int, wanted: Sequence[str], numeric: list[int]) -> Rows:
        if '""' in text:
            text = _QUOTED.sub(lambda quoted: f'"{QUOTED_EMPTY}"' if quoted[0] == '""' else quoted[0], text)
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
            lines = list(accumulate(map(_height, rows), initial=first))[:-1]
        if rows and rows[-1] and "\n" in rows[-1][-1] and not text.rstrip("\r\n").endswith('"'):
            self.bad.add(lines[-1], "a quote opens here and never closes", _height(rows[-1]))
            lines, rows = lines[:-1], rows[:-1]
        if numeric or any(len(row) != len(self.names) for row in rows):
            numbered = zip(lines, rows, strict=True)
            good = [(line, row) for line, row in numbered if row and self._is_good(line, row, numeric)]
            lines, rows = [line for line, _ in good], [row for _, row in good]
        columns = list(zip(*rows, strict=True))
        return lines, [columns[self.names.index(name)] for name in wanted] if rows else []

    def _is_good(self, line: int, row: list[str], numeric: list[int]) -> bool:
        """Whether a row has the right length, and a number in each column declared numeric; otherwise it is noted."""
        height = _height(row)
        if len(row) != len(self.names):
            hint = f"; a quote that opens here closes {height - 1} lines below" if height > 1 else ""
            named = f"the first line names {len(self.names)} columns, here the number is {len(row)}"
            self.bad.add(line, named + hint, height)
            return False
        for at in numeric:
            if row[at] != QUOTED_EMPTY and text_number(row[at], self.comma) is None:
                self.bad.add(line, f"column {self.names[at]!r} holds {row[at][:40]!r}, which is no number")
                return False
        return True


@cache
def _arrow() -> tuple[Any, Any] | None:
    """Return pyarrow and its reader of CSV; None if they are not installed."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.csv")
    except ImportError:
        return None


def _simply_quoted(text: str, delimiter: str) -> bool:
    """Whether quotes are around whole cells and nowhere else, so that pyarrow and the csv module agree on them."""
    if not (quotes := text.count('"')):
        return True
    opening = text.count(f'{delimiter}"') + text.count('\n"') + text.startswith('"')
    closing = text.count(f'"{delimiter}') + text.count('"\n') + text.endswith('"')
    return opening == closing == quotes / 2 and '""' not in text


def _zero_led_columns(content: bytes, delimiter: str, names: Sequence[str]) -> set[str]:
    """Columns with a cell that begins with a zero before another digit, so that it is a code and no number.

    All columns, if there are quotes: those may hold delimiters.
    """
    data = np.frombuffer(b"\n" + content, np.uint8)
    zeros = np.flatnonzero(data[1:-1] == ord("0"))
    zeros = zeros[(data[zeros + 2] - ord("0")) < 10]  # wraps around below the digits
    codes = zeros[np.isin(data[zeros], list(f'{delimiter}\n"'.encode()))]
    if not codes.size or b'"' in content:
        return set(names) if codes.size else set()
    positions = np.searchsorted(np.flatnonzero((data == ord(delimiter)) | (data == ord("\n"))), codes) % len(names)
    return {names[position] for position in np.unique(positions).tolist()}


class JsonReader(Reader):
    """JSON lines: one object a line, the same keys in each; a key that is left out is a missing value."""

    def __init__(self, path: Path, bad: BadRows, progress: Progress) -> None:
        super().__init__(path, bad, progress)
        first = next(_text_blocks(path), (1, ""))[1]
        rows = [row for _, row in _objects(first, 1, BadRows(str(path), skip=True))]
        if not rows:
            hint = "; a list of objects becomes such lines with: jq -c '.[]'" if first[:1] == "[" else ""
            raise DataError(f"{path}: holds no line with a JSON object{hint}")
        self.names = self._check_names(list(dict.fromkeys(name for row in rows for name in row)))

    def _rows(self, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> Iterator[Rows]:
        known = set(self.names)
        for first, text in _text_blocks(self.path, self.progress, block_size(len(self.names))):
            rows = []
            for line, row in _objects(text, first, self.bad):
                if what := _wrong_in(row, known, wanted, kinds):
                    self.bad.add(line, what)
                else:
                    rows.append((line, row))
            yield [line for line, _ in rows], [[row.get(name) for _, row in rows] for name in wanted]

    def _block(self, column: Any, declared: Kind | None, name: str) -> Block:
        tally = self.tallies[name]
        texts = [position for position, value in enumerate(column) if isinstance(value, (str, bool))]
        tally.texts += len(texts)
        tally.numbers += sum(value is not None for value in column) - len(texts)
        if tally.first_text is None and texts:
            tally.first_text = self.lines[texts[0]], str(column[texts[0]])
        return to_block(column, name, declared)


def _objects(text: str, first: int, bad: BadRows) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines and rows of a text; what is no JSON object is noted."""
    for line, content in enumerate(text.split("\n"), first):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            bad.add(line, f"not valid JSON: {error}")
            continue
        if isinstance(row, dict):
            yield line, dict(canonical_items(row))
        else:
            bad.add(line, f"holds {type(row).__name__} where an object belongs")


def _wrong_in(row: dict[str, Any], known: set[str], wanted: Sequence[str], kinds: Mapping[str, Kind]) -> str | None:
    """Say what makes a row of JSON useless; None if nothing does."""
    if not row.keys() <= known:
        return f"has a key {sorted(row.keys() - known)[0]!r} that no row before had"
    for name in wanted:
        value = row.get(name)
        if isinstance(value, (dict, list)):
            return f"column {name!r} holds a nested value"
        if kinds.get(name) == "numeric" and isinstance(value, str) and text_number(value) is None:
            return f"column {name!r} holds {str(value)[:40]!r}, which is no number"
    return None


class ParquetReader(Reader):
    """Parquet, through pyarrow, which is an extra."""

    def __init__(self, path: Path, bad: BadRows, progress: Progress) -> None:
        super().__init__(path, bad, progress)
        try:
            self._file = import_module("pyarrow.parquet").ParquetFile(path)
        except ImportError:
            raise DataError(f"{path}: reading Parquet needs pyarrow; `pip install 'telltale[data]'`") from None
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a Parquet file: {error}") from error
        schema = self._file.schema_arrow
        self.names = self._check_names(schema.names)
        declared = [name for name, column in zip(self.names, schema, strict=True) if declares_categories(column)]
        self.declared = dict.fromkeys(declared, "categorical")

    def _rows(self, wanted: Sequence[str], kinds: Mapping[str, Kind]) -> Iterator[Rows]:  # noqa: ARG002
        size, total = self.path.stat().st_size, max(1, self._file.metadata.num_rows)
        spelled = [self._file.schema_arrow.names[self.names.index(name)] for name in wanted]
        seen = 0
        for batch in self._file.iter_batches(batch_size=65_536, columns=spelled):
            self.progress(size * batch.num_rows // total)
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            yield range(seen + 1, seen + 1 + batch.num_rows), [columns[own] for own in spelled]
            seen += batch.num_rows

    def _block(self, column: Any, declared: Kind | None, name: str) -> Block:
        try:
            return to_block(column, name, declared)
        except DataError as error:
            raise DataError(f"{self.path}, rows from {self.lines[0]}: {error}") from None


def block_size(columns: int) -> int:
    """Bytes to read at a time from a file of `columns` columns.

    >>> block_size(10), block_size(1_000)
    (1048576, 8192000)
    """
    return max(BLOCK, min(16 * BLOCK, BLOCK // 128 * columns))


def _text_blocks(path: Path, progress: Progress = lambda _: None, size: int = BLOCK) -> Iterator[tuple[int, str]]:
    """Whole lines of text, about `size` bytes at a time, each with the number of its first line.

    A block does not end within quotes, unless they stay open for longer than any field may be. `progress` is told of
    the bytes of the file itself, also of a compressed one. Raises DataError if the text is not UTF-8, with the line.
    """
    line, reported = 1, 0
    with path.open("rb") as raw:
        file: Bytes = gzip.GzipFile(fileobj=raw) if path.suffix.lower() == ".gz" else raw
        while block := _read_block(file, path, size):
            place = raw.tell()
            progress(place - reported)
            reported = place
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
            if "\r" in text and not any(part.count('"') % 2 for part in text.split("\r\n")):  # none within quotes
                text = text.replace("\r\n", "\n")
            yield line, text
            line += block.count(b"\n")


def _read_block(file: Bytes, path: Path, size: int) -> bytes:
    try:
        block = file.read(size) + file.readline()
        limit = len(block) + 2**17
        while block.count(b'"') % 2 and len(block) < limit and (more := file.readline()):
            block += more
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return block


def _height(row: list[str]) -> int:
    """Lines that a row takes: quoted cells may run over several."""
    return 1 + sum(cell.count("\n") for cell in row)
