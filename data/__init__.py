"""Raw logs and what is known when: contracts, the clock, sources, quality, snapshots, outcomes."""
