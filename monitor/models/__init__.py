"""Models: the one place that loads a model file, and finds the form in which a model has to be asked."""
