"""Commands that people run by hand or every Monday; each is a target of the Makefile."""
