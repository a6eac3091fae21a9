"""Every error that Telltale raises on purpose, and the exit code that a command ends with."""

from __future__ import annotations


class TelltaleError(Exception):
    """Base of all errors raised on purpose; its text is one line that a person can act on."""

    exit_code = 1


class ConfigError(TelltaleError):
    """A setting is unknown, of the wrong type, or out of range."""

    exit_code = 2


class ReferenceFileError(TelltaleError):
    """A reference file cannot be read, is incomplete, or belongs to another model."""

    exit_code = 2


class ModelError(TelltaleError):
    """A model file is missing, unreadable, not trusted, or does not fit its reference."""

    exit_code = 2


class DataError(TelltaleError):
    """A file of training or recorded data cannot be read as asked."""

    exit_code = 2


class StoreError(TelltaleError):
    """The data folder or the database in it cannot be used."""

    exit_code = 3


class LockedError(StoreError):
    """Another process holds the data folder."""

    exit_code = 4


class SourceError(TelltaleError):
    """A source that is pulled cannot be asked, or its answer cannot be counted; it is asked again."""


class StoppedError(TelltaleError):
    """Ctrl-C ended a command that says what is done."""

    exit_code = 130


class InputError(TelltaleError):
    """One request is wrong. It is answered with `status` and a JSON body, and nothing is recorded.

    `code` is a stable word for programs, the message is for people, `where` points into the input, such as `row 3,
    column bmi`. `headers`: of the answer.
    """

    def __init__(
        self,
        code: str,
        message: str,
        where: str | None = None,
        status: int = 400,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code, self.where, self.status, self.headers = code, where, status, headers

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str | None, int]]:
        """How it is sent to another process."""
        return type(self), (self.code, str(self), self.where, self.status)
