"""One thin module per DVC stage, and the parameters and paths that they share."""

import os

# Both are read once, when the libraries load, so they are set before any import of them; a user's
# own settings win. Two LightGBM threads that spin while they wait stall each other on a busy
# machine. Arrow's default allocator returns memory so eagerly that rolling features spent more than
# half of their time on allocating it again.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
