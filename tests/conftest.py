"""What every test of the engine relies on."""

from __future__ import annotations

import torch

# Pictures here are tiny: more threads would wait for one another, and slow down whatever else the machine does.
torch.set_num_threads(1)
