"""How tests read what was written."""
