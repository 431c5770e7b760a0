# %% [markdown]
# # The raw logs and their quality
#
# What was read, what was quarantined and why, how late rows arrive, and which customers left when. Run
# the pipeline first (`make`).

# %%
import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pyarrow.parquet as pq

from pipelines.paths import CLEAN, QUARANTINE, REPORTS, SNAPSHOTS, tables_in

if not Path("params.yaml").exists():  # Jupyter starts beside the notebook
    os.chdir("..")

# %% [markdown]
# ## How many rows, and how many are clean

# %%
quality = pd.DataFrame(json.loads((REPORTS / "quality.json").read_text())).T
quality[["rows", "clean", "quarantined", "first_event_at", "last_available_at"]]

# %% [markdown]
# ## What was quarantined, by the rule that it breaks

# %%
broken = pd.Series(
    {
        (table, rule): rows
        for table, rules in quality["rules"].items()
        for rule, rows in rules.items()
    },
    name="rows",
    dtype="int64",
)
broken

# %%
aside = {name: pq.read_table(path).to_pandas() for name, path in tables_in(QUARANTINE).items()}
aside["usage"].groupby("rule").head(2)

# %% [markdown]
# ## How late rows arrive
#
# A row is visible from `available_at` on. Rows later than `clock.lateness_days` are quarantined, because
# the gaps between training and test weeks rely on that bound.

# %%
usage = pd.read_parquet(CLEAN / "usage.parquet", columns=["event_at", "available_at", "feature"])
delay = usage["available_at"] - usage["event_at"]
delay.describe(percentiles=[0.5, 0.9, 0.99, 0.999])

# %% [markdown]
# ## Use by week and feature

# %%
weekly = usage.groupby([pd.Grouper(key="event_at", freq="W-MON"), "feature"]).size().unstack()
weekly.plot.area(figsize=(10, 4), linewidth=0, title="usage rows a week")
plt.ylabel("rows")

# %% [markdown]
# ## Which customers left when, and by which cause
#
# Lifetimes are as of the newest cutoff: a churn that was undone in time does not count.

# %%
lifetimes = pd.read_parquet(SNAPSHOTS / "lifetimes.parquet")
left = lifetimes.dropna(subset=["stopped_at"])
left.groupby([pd.Grouper(key="stopped_at", freq="MS"), "cause"]).size().unstack().plot(
    figsize=(10, 4), title="customers lost a month"
)
plt.ylabel("customers")
