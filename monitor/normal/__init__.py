"""What is usual for a column: the expected histogram, the scatter about it, and the limit that is seldom passed."""
