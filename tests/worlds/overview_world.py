"""A made-up business for the churn overview."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from retention.overview import Overview, Records, Revenue, overview

AS_OF = dt.datetime(2024, 12, 30, tzinfo=dt.UTC)
START = dt.datetime(2022, 1, 3, tzinfo=dt.UTC)


def business(customers: int = 800, seed: int = 3) -> Overview:
    """Return the overview of customers who sign up evenly and leave at random for either cause."""
    generator = np.random.default_rng(seed)
    names = np.array([f"c{i:05d}" for i in range(customers)], dtype=object)
    began = START + pd.to_timedelta(generator.integers(0, 1000, customers), unit="D")
    stayed = generator.exponential([600, 2000], (customers, 2))
    stopped = began + pd.to_timedelta(stayed.min(axis=1).round(), unit="D")
    left = stopped <= AS_OF
    cause = np.array(["voluntary", "involuntary"], dtype=object)[stayed.argmin(axis=1)]
    lifetimes = pd.DataFrame(
        {
            "customer_id": names,
            "plan": generator.choice(["starter", "team", "business"], customers),
            "started_at": began.as_unit("us"),
            "stopped_at": pd.Series(stopped).where(left).dt.as_unit("us"),
            "cause": pd.Series(cause).where(left),
        }
    )
    segments = generator.choice(["small business", "enterprise"], customers)
    revenue = Revenue(
        np.arange(customers),
        np.asarray(began.as_unit("us").astype("int64")),
        generator.integers(20, 2000, customers) * 100,
    )
    failed = AS_OF - pd.to_timedelta(generator.integers(0, 700, 300), unit="D")
    paid = failed + pd.to_timedelta(generator.integers(1, 20, 300), unit="D")
    invoices = pd.DataFrame(
        {
            "failed_at": failed.as_unit("us"),
            "paid_at": pd.Series(paid).where(generator.random(300) < 0.6).dt.as_unit("us"),
            "amount": generator.integers(20, 2000, 300) * 100,
        }
    )
    people = pd.DataFrame({"customer_id": names, "segment": segments})
    return overview(Records(lifetimes, people, revenue, invoices), AS_OF, 0.8, "EUR")
