"""Checks of the database against itself."""
