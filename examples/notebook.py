"""Cells of a notebook: make a reference, watch a few predictions, look at what came of them."""

# %% The data that the model was trained on, and what it answers for it.
import tempfile

import numpy as np

from monitor import Monitor, Reference

random = np.random.default_rng(0)
training = {"rooms": random.normal(3, 1, 1000), "area": random.normal(70, 15, 1000)}
reference = Reference.from_data(training, 3 * training["rooms"] + 0.1 * training["area"])

# %% Watch. In a notebook the monitor stays open over many cells; run its last cell, or restart the kernel, to close it.
monitor = Monitor.open(reference=reference, data=tempfile.mkdtemp())
monitor.observe({"rooms": 4, "area": 88.5}, 20.85)
monitor.observe_many([[3, 65.0], [2, 48.5]], [15.5, 10.85])
monitor.flush()

# %% Look.
status = monitor.status()

# %% Close.
monitor.close()
