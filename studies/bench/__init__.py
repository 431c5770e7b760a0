"""Benchmarks: our code beside the usual alternatives, and how cost grows."""
