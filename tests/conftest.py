"""What holds for every test, wherever the suite is started from."""

from __future__ import annotations

import os

# One thread for each process: the suite has a worker on each core, and all that they start inherits this.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import torch

torch.set_num_threads(1)  # it may have been imported before, by a plug-in of pytest
