"""Outcomes: what came true for predictions, joined to them, and the performance of the model that follows."""
