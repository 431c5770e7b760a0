"""The simulated world: a subscription business with known true risks, the default source."""
