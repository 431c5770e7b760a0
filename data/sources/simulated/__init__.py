"""The simulated world: a subscription business with a known truth, the default source of data."""

from data.sources.simulated.settings import Switches, WorldSettings
from data.sources.simulated.world import simulate

__all__ = ["Switches", "WorldSettings", "simulate"]
