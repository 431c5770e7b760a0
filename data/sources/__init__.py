"""Readers of raw sources: each yields the tables of the raw contract."""
