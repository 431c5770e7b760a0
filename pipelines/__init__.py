"""One thin module a DVC stage, and the parameters, paths and tracking that they share."""

import os

# Both are read once, when the libraries load, so they are set before any import of them; a user's
# own settings stand. Two LightGBM threads that spin while they wait stall each other on a busy
# machine. Arrow's usual allocator gives memory back so eagerly that more than half of the time of
# rolling features went into getting it again.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
