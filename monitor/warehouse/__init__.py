"""Tables of a database or warehouse, by Ibis: connecting, and counting rows into bins where they are."""
