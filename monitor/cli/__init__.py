"""The command line: `telltale COMMAND`. Each module adds its commands to the parser and runs them."""
