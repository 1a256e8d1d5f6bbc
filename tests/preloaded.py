"""What workers of the suite's own processes need, imported once by the server that they are forked from.

At the first backward pass torch imports sympy, for a third of a second, which each worker would do by itself.
"""

import torch.fx.experimental.symbolic_shapes

import estbench.card.worker
import estbench.engine.benchmark
import estbench.engine.guarded
import estbench.engine.pool
import estbench.preflight.check

__all__ = ["estbench", "torch"]
