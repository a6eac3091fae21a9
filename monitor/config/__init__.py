"""`config.toml`: settings and their validation."""
