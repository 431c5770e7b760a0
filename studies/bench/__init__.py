"""Benchmarks: ours beside what one would write instead, and how cost grows."""
