"""The simulated world: a subscription business with a known truth, the default source of data."""

from data.sources.simulated.world import simulate
from data.sources.simulated.world_settings import Switches, WorldSettings

__all__ = ["Switches", "WorldSettings", "simulate"]
