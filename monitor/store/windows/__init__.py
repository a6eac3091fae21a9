"""Windows of counts: written by a fold, rolled up, pruned, and read back."""
