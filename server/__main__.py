"""`telltale serve`, and `python -m server`: load the model, open the runtime, serve until told to stop."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from monitor import words
from monitor.config.load import Config
from monitor.errors import LockedError, TelltaleError
from monitor.questions import make_way
from monitor.store.file.folder import refuse_second


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(f"{words.program()} serve", description="Serve predictions and watch them.")
    parser.add_argument("--config", metavar="FILE", help="settings (default: config.toml, if there is one)")
    parser.add_argument("--host", help="address to listen on; wins over the file")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any free one; wins over the file")
    parser.add_argument("--data", metavar="DIR", help="data folder; wins over the file")
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token-file", metavar="FILE", help="file of the token for pages and API; wins over the file")
    token.add_argument("--token-env", metavar="NAME", help="environment variable of that token; wins over the file")
    parser.add_argument("--trust-network", action="store_true", help="listen beyond loopback without a token")
    parser.add_argument("--debug", action="store_true", help="log more")
    return parser


def configure(options: argparse.Namespace) -> Config:
    """Settings from the file, with the command line's on top. Raises ConfigError."""
    config = Config.load(options.config)
    asked = {key: value for key in ("host", "port") if (value := getattr(options, key)) is not None}
    if options.token_file or options.token_env:
        asked |= {"token_file": options.token_file or "", "token_env": options.token_env or ""}
    trusted = config.server.trust_network or options.trust_network
    config = replace(config, server=replace(config.server, trust_network=trusted, **asked))
    return config if options.data is None else config.at(options.data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the process's exit code."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.debug else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    try:
        config = configure(options)
        # Loading the libraries takes more than a second; a second server is refused before that.
        try:
            refuse_second(Path(config.data.path))
        except LockedError:
            if not make_way(Path(config.data.path)):
                raise
        from server.run import run

        run(config, lambda: configure(options))
    except TelltaleError as error:
        print(f"{words.program()} serve: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
