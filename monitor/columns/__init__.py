"""Columns, their bins, and counting rows into them."""
