"""Pure functions of two count vectors, and the verdicts made from them."""
