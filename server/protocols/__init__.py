"""Protocols that serving clients speak, beside our own: MLflow's scoring server and the Open Inference Protocol."""
