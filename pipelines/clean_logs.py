"""The clean logs as of a cutoff: what several parts of the list need is read once, if at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from data.population import read_history
from pipelines.paths import CLEAN, tables_in
from pipelines.snapshot import population_settings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from data.engine import Engine
    from data.lifetimes import UsePeriods
    from data.subscriptions import SubscriptionEvents
    from pipelines.params import Params


@dataclass(frozen=True)
class CleanLogs:
    """The clean logs as of a cutoff.

    Parameters
    ----------
    params
        The parameters.
    as_of
        Number of the cutoff; rows that became available later are not read.
    engine
        Runs the queries.
    """

    params: Params
    as_of: int
    engine: Engine

    @cached_property
    def tables(self) -> dict[str, Any]:
        """All tables by name, lazy Ibis tables."""
        return {name: self.engine.read(path) for name, path in tables_in(CLEAN).items()}

    @cached_property
    def customers(self) -> pd.DataFrame:
        """``customer_id`` and ``segment`` of all customers, sorted by the former."""
        query = self.tables["customers"].select("customer_id", "segment").order_by("customer_id")
        customers: pd.DataFrame = self.engine.to_arrow(query).to_pandas()
        return customers

    @cached_property
    def names(self) -> NDArray[np.object_]:
        """Sorted ids of all customers."""
        return self.customers["customer_id"].to_numpy(dtype=object)

    @cached_property
    def history(self) -> SubscriptionEvents | UsePeriods:
        """The log that decides who left."""
        settings, clock = population_settings(self.params), self.params.clock
        return read_history(self.tables, self.names, clock, settings, self.engine, self.as_of)
