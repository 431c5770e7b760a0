"""Features of a snapshot: a function of the rows visible at its cutoff, and of nothing else."""
