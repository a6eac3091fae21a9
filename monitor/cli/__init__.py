"""The command line: `python -m monitor COMMAND`. Each module adds its commands to the parser and runs them."""
