"""`erase`: erase the unseen values that are kept by name, wherever the data folder has them."""

from __future__ import annotations

import argparse
from pathlib import Path

from monitor.cli.context import Commands, add_command, load_config, print_table, reading
from monitor.cli.reference import by
from monitor.cli.silence import request
from monitor.clock import SystemClock
from monitor.columns.column import Column
from monitor.errors import ConfigError
from monitor.rules.cover import closeness
from monitor.source.names import Name
from monitor.store.file.folder import DataFolder
from monitor.store.records.erase import Wanted, columns_of_category, find, moved_aside
from monitor.words import counted

#: How long the command waits for the server, in seconds: the whole database is written anew.
PATIENCE = 600.0


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "erase", "Erase unseen values that are kept by name: of all columns, or of some.")
    parser.add_argument("columns", nargs="*", metavar="COLUMN", help="a name, a glob, or role:prediction")
    parser.add_argument("--value", metavar="TEXT", help="only this value")
    parser.add_argument("--dry-run", action="store_true", help="show what would be erased, and erase nothing")
    parser.add_argument("--reason", default="no reason given", help="why; kept with who did it and when")
    parser.add_argument("--author", default="", help="who (default: the user's name)")
    parser.set_defaults(run=erase)


def erase(options: argparse.Namespace) -> int:
    """`python -m monitor erase`. Raises TelltaleError."""
    config = load_config(options)
    folder = DataFolder(Path(config.data.path))
    with reading(config) as connection:
        columns = choose(columns_of_category(connection), options.columns) if options.columns else None
        wanted = Wanted(None if columns is None else frozenset(columns), options.value)
        found = find(connection, folder.journal, wanted)
    aside = moved_aside(folder)
    if not options.dry_run:
        what = {"kind": "erase", "columns": columns, "value": options.value, **by(options)}
        request(config, what, SystemClock(), PATIENCE)
    verb = "would be erased" if options.dry_run else "erased"
    rows = ((name or "of a model that was dropped", role, len(values)) for (role, name), values in found.kept.items())
    if found.kept:
        print_table(("column", "role", f"values {verb}"), sorted(rows), right=(2,))
        print()
    texts = f"{counted(len(found.verdicts), 'verdict')} and {counted(len(found.messages), 'message')}"
    print(f"{counted(found.values, 'unseen value')} {verb}, and named no more in {texts}; counts and numbers stay")
    for one in aside:
        print(f"{one.paths[0]}: {'would be ' * options.dry_run}deleted; nothing can be erased in a damaged database")
    print(
        "not in reach: snapshots and reports, messages that were delivered, logs; values that come again are kept again"
    )
    return 0


def choose(columns: list[Name], patterns: list[str]) -> list[Name]:
    """The columns that patterns name. Raises ConfigError for one that fits none."""
    chosen = set()
    for pattern in patterns:
        fits = {one for one in columns if closeness(pattern, Column(one[1], one[0], "categorical")) is not None}  # type: ignore[arg-type]
        if not fits:
            known = ", ".join(sorted({name for _, name in columns})) or "none"
            raise ConfigError(f"no categorical column fits {pattern!r}; there are: {known}")
        chosen |= fits
    return sorted(chosen)
