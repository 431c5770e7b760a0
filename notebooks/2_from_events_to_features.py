# %% [markdown]
# # From events to one customer's features
#
# Three layers: **measure** (one pass over each log, one row per customer and week), **roll** (windows over
# weeks), **derive** (ratios, slopes, days since). Here they are followed for the customer at the top of
# the list, and two features are recomputed by hand.

# %%
import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa

from features.period_reader import Periods
from pipelines.load import load_catalog
from pipelines.params import load_params
from pipelines.paths import CLEAN, FEATURES, PERIODS, SCORES

if not Path("params.yaml").exists():  # Jupyter starts beside the notebook
    os.chdir("..")

params = load_params()
clock = params.clock
top = pd.read_parquet(SCORES / "list.parquet").iloc[0]
customer, cutoff = top["customer_id"], top["cutoff"]
short = params.featurize.windows[1]
customer, cutoff

# %% [markdown]
# ## The events that were visible at the cutoff
#
# A row counts when `available_at <= cutoff`; it is placed in the week of its `event_at`.

# %%
logs = {
    name: pd.read_parquet(CLEAN / f"{name}.parquet", filters=[("customer_id", "==", customer)])
    for name in ("subscriptions", "usage", "tickets", "payments")
}
visible = {name: log[log["available_at"] <= cutoff] for name, log in logs.items()}
visible["subscriptions"][["event_at", "kind", "plan", "seats", "mrr", "renews_at"]]

# %%
visible["payments"].groupby("kind").agg(events=("event_id", "size"), last=("event_at", "max"))

# %%
visible["tickets"][["event_at", "kind", "author", "category", "priority", "score"]].tail(8)

# %%
weekly = (
    visible["usage"].groupby([pd.Grouper(key="event_at", freq="W-MON"), "feature"])["count"].sum()
)
weekly.unstack().plot.bar(
    stacked=True, figsize=(11, 4), width=0.9, title=f"use by {customer}, a bar a week"
)
plt.gca().xaxis.set_major_locator(plt.MaxNLocator(12))
plt.ylabel("uses")
# %% [markdown]
# ## Measure: one row per week
#
# Integers only (counts, seconds, bit masks), so that the order of adding changes nothing. `days` is a
# mask: bit 0 is the first day of the week.

# %%
measured = Periods(PERIODS).rows("usage", pa.array([customer])).to_pandas()
measured["active days"] = measured["days"].map(lambda mask: int(mask).bit_count())
measured[["event_period", "visible_period", "uses", "seconds", "days", "active days"]].tail(8)

# %% [markdown]
# ## Roll: windows over weeks
#
# A window of w weeks is `(cutoff - w weeks, cutoff]`. From the measures, and once more from the events:

# %%
row = pd.read_parquet(
    FEATURES / "features.parquet",
    filters=[("customer_id", "==", customer), ("cutoff", "==", cutoff)],
).iloc[0]
label = clock.label(short)
last = clock.cutoff_on(cutoff.date())
inside = measured["event_period"].between(last - short + 1, last) & (
    measured["visible_period"] <= last
)
start = cutoff - pd.Timedelta(days=short * clock.period_days)
events = visible["usage"][
    (visible["usage"]["event_at"] > start) & (visible["usage"]["event_at"] <= cutoff)
]
by_hand = pd.DataFrame(
    {
        "from the measures": [
            measured.loc[inside, "uses"].sum(),
            measured.loc[inside, "active days"].sum(),
        ],
        "from the events": [events["count"].sum(), events["event_at"].dt.floor("D").nunique()],
        "the feature": [row[f"uses_{label}"], row[f"active_days_{label}"]],
    },
    index=[f"uses_{label}", f"active_days_{label}"],
)
assert by_hand.eq(by_hand["the feature"], axis=0).all(axis=None), by_hand
by_hand

# %% [markdown]
# ## Derive: against the customer's own past

# %%
history = pd.read_parquet(
    FEATURES / "features.parquet", filters=[("customer_id", "==", customer)]
).set_index("cutoff")
history[[f"active_days_{label}", f"active_days_usual_{label}"]].plot(
    figsize=(11, 4),
    title=f"{customer}: active days in {label}, and what is usual",
    drawstyle="steps-post",
)
plt.ylabel("days")
# %% [markdown]
# ## What each feature says about itself
#
# The declaration contains source, window, unit, reason group and sentence.

# %%
catalog = pd.DataFrame([vars(feature) for feature in load_catalog()]).set_index("name")
own = catalog[["family", "window", "unit", "group", "sentence"]].assign(value=row)
own[own["value"].notna()].groupby("family").sample(4, random_state=7).sort_values("family")

# %%
missing = pd.Series(
    {
        entry["name"]: entry["missing_share"]
        for entry in json.loads((FEATURES / "catalog.json").read_text())["features"]
    }
)
missing[missing > 0].sort_values().plot.barh(
    figsize=(8, 0.16 * np.sum(missing > 0) + 1), title="share without a value"
)
plt.tick_params(labelsize=7)
