"""Judging one series live: by training, by what is usual, by outcomes, by traffic; and what is known of performance."""
