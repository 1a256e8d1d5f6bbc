"""How much of the slow tests is run: all, or with ESTBENCH_SLOW=small a part."""

import os

SMALL = os.environ.get("ESTBENCH_SLOW") == "small"
