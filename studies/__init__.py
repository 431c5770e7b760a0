"""Studies: benchmarks, rivals and ceilings. No stage runs them, and nothing imports them."""
