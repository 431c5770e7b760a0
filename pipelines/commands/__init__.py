"""What people run by hand, or every Monday: each module is a target of the Makefile."""
