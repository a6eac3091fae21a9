"""Where a command may write: never over the live record, and over no file that Telltale did not write."""

from __future__ import annotations

from pathlib import Path

from monitor.config.load import Config
from monitor.errors import ConfigError
from monitor.store.file.snapshot import is_snapshot


def is_report(path: Path) -> bool:
    """Whether a file is a report, as HTML or as JSON."""
    with path.open("rb") as file:
        head = file.read(4096)
    return b'<meta name="generator" content="Telltale report">' in head or head.startswith(b'{\n "report": "telltale"')


def output_path(text: str, config: Config, force: bool) -> Path:
    """Return the file that a command is to write. Raises ConfigError if that would overwrite what it must not."""
    path, data = Path(text), Path(config.data.path).resolve()
    target = path.resolve()
    if target == data or data in target.parents or _is_linked(target, data):
        raise ConfigError(f"{path} is in the data folder {config.data.path}; write to a file elsewhere")
    if target.is_dir():
        raise ConfigError(f"{path} is a folder; name a file")
    if any(Path(used).exists() and target.exists() and target.samefile(used) for used in _in_use(config)):
        raise ConfigError(f"{path} is a file that Telltale reads: the settings, the model or the reference")
    try:
        own = not target.exists() or (target.is_file() and (is_snapshot(target) or is_report(target)))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    if not own and not force:
        raise ConfigError(f"{path} exists and was not written by this command; --force replaces it")
    if (live := target.with_name(f"{target.name}-wal")).exists():
        raise ConfigError(f"{path} is a database in use: {live.name} lies beside it; write to another file")
    return path


def _in_use(config: Config) -> list[str]:
    return [name for name in (config.source, config.model.path, config.model.reference) if name]


def _is_linked(target: Path, data: Path) -> bool:
    """Whether a file outside of the data folder is the same file as one in it, by a second name."""
    if not target.exists() or not data.is_dir():
        return False
    return any(path.is_file() and path.samefile(target) for path in data.iterdir())
