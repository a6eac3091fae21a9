"""The settings that fit a reference which was just made: written if there are none, and told otherwise."""

from __future__ import annotations

import json
from pathlib import Path

from monitor.config.load import Config
from monitor.errors import ConfigError
from monitor.reference.file import Reference, write_atomically


def configure(reference: Reference, model: Path, output: Path, config: Path) -> str:
    """Write `config` for a model and its reference if there is no such file; return a line that says what was done."""
    schema = reference.schema
    features = zip(schema.features, schema.split(reference.counts), strict=False)
    missing = any(counts[column.missing_bin] for column, counts in features)
    wanted = {
        "path": str(model),
        "reference": str(output),
        "missing": "allow" if missing else "refuse",
        "proba": any(column.name.startswith("proba_") for column in schema.predictions),
    }
    if not config.exists():
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in wanted.items()]
        head = "# Made by `python -m train reference`. docs/settings.md lists every setting.\n[model]\n"
        write_atomically(config, (head + "".join(lines)).encode())
        return f"Wrote {config}. Next: python -m server    serves the model and watches these columns."
    try:
        there = Config.load(str(config)).model
    except ConfigError as error:
        return f"{config} is not good: {error}"
    differ = [f"{key} = {json.dumps(value)}" for key, value in wanted.items() if getattr(there, key) != value]
    if differ:
        return f"{config} says otherwise; for this model it needs, under [model]: {', '.join(differ)}"
    return f"{config} fits. Next: python -m server    serves the model and watches these columns."
