"""A prediction becomes a fixed-size record in a memory-mapped journal."""
