"""The simulated world: a subscription business with a known truth, the default source of data."""
