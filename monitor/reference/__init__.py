"""The reference: what a model's columns looked like in training, as frozen bins and counts."""
