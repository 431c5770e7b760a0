# %% [markdown]
# # Churn in money
#
# How long customers stay, what leaves with them, what is at risk now, and what failed payments cost.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from data.contracts import CAUSES
from data.invoices import failed_invoices
from pipelines.clean_logs import CleanLogs
from pipelines.engines import duckdb_engine
from pipelines.load import newest_cutoff
from pipelines.params import load_params
from pipelines.paths import CLEAN, SCORES, SNAPSHOTS
from pipelines.score import churn_overview
from retention.cohorts import retention_table
from retention.language import ENGLISH
from retention.recovery import SETTLE_DAYS, settled_invoices

if not Path("params.yaml").exists():  # Jupyter starts beside the notebook
    os.chdir("..")

params = load_params()
currency, horizons = params.ingest.currency, params.labels
snapshots = pd.read_parquet(SNAPSHOTS / "snapshots.parquet")
lifetimes = pd.read_parquet(SNAPSHOTS / "lifetimes.parquet")
as_of = newest_cutoff()
# The overview that the retention team opens, as numbers.
with duckdb_engine(params) as engine:
    logs = CleanLogs(params, as_of, engine)
    churn = churn_overview(params, lifetimes, logs)
    failed = failed_invoices(logs.tables["payments"], params.clock.cutoff_us(as_of), engine)

# %% [markdown]
# ## Cohorts: of the customers who started together, what share is still there
#
# Kaplan-Meier estimates: customers who are still there count until now, and no longer. Where fewer
# than 20 were observed that long nothing is said.

# %%
cohorts = retention_table(churn.cohorts)
cohorts.plot(
    figsize=(10, 4.5),
    ylim=(0, 1.02),
    colormap="viridis_r",
    marker=".",
    title="share still there, by quarter of start",
)
plt.ylabel("share")
# %%
cohorts.round(3)

# %% [markdown]
# ## MRR lost, month by month and by cause
#
# What a customer paid is taken from the first day of the month.

# %%
lost = churn.months.set_index("month")[[f"{cause}_mrr" for cause in CAUSES]] / 100
lost.columns = list(CAUSES)
lost.plot.bar(stacked=True, figsize=(11, 4), width=0.85, title=f"MRR lost a month, {currency}")
plt.gca().set_xticks(
    range(0, len(lost), 3), [f"{month:%Y-%m}" for month in lost.index[::3]], rotation=45
)
plt.xlabel("")
# %% [markdown]
# ## Revenue at risk now
#
# Risk times MRR, summed: the MRR that is expected to be lost if nobody acts.

# %%
scores = pd.read_parquet(SCORES / "scores.parquet")
now = scores.merge(
    snapshots[snapshots["newest"]][["customer_id", "segment", "plan"]], on="customer_id"
)
for cause in CAUSES:
    for label in horizons:
        now[f"{cause} {label}"] = now[f"risk_{cause}_{label}"] * now["mrr"]
at_risk = [f"{cause} {label}" for cause in CAUSES for label in horizons]
by_segment = now.groupby("segment")[["mrr", *at_risk]].sum()
by_segment.map(lambda cents: ENGLISH.money(cents, currency))

# %%
share = by_segment[at_risk].div(by_segment["mrr"], axis=0)
share[[f"{cause} {horizons[-1]}" for cause in CAUSES]].plot.barh(
    stacked=True, figsize=(9, 3), title=f"share of MRR expected to be lost within {horizons[-1]}"
)
# %% [markdown]
# ## How much of it the lists reach

# %%
listed = pd.read_parquet(SCORES / "list.parquet")
worth = listed.groupby("queue").agg(
    customers=("customer_id", "size"),
    loss=("expected_loss", "sum"),
    saving=("expected_saving", "sum"),
)
worth.assign(
    loss=worth["loss"].map(lambda cents: ENGLISH.money(cents, currency)),
    saving=worth["saving"].map(lambda cents: ENGLISH.money(cents, currency)),
)

# %%
ranked = now.assign(loss=now[[f"{cause} {horizons[0]}" for cause in CAUSES]].sum(axis=1))
ranked = ranked.sort_values("loss", ascending=False, ignore_index=True)
(ranked["loss"].cumsum() / ranked["loss"].sum()).plot(
    figsize=(9, 4), title=f"share of the expected loss within {horizons[0]} in the first customers"
)
plt.xlabel("customers, those with most at stake first")
# %% [markdown]
# ## Failed payments
#
# An invoice fails at its first attempt, is retried, and is then paid or not.

# %%
recent = churn.recent_recovery
f"Of {recent.failed:,} invoices that failed in the last 12 complete months {recent.rate:.0%} were paid within {SETTLE_DAYS} days, {ENGLISH.money(recent.amount - recent.recovered_amount, currency)} were not"

# %%
rates = pd.Series({month: recovery.rate for month, recovery in churn.recovery})
rates.plot(
    figsize=(10, 3.5),
    ylim=(0, 1.02),
    title=f"share of failed invoices paid within {SETTLE_DAYS} days, by month",
)

# %%
settled = settled_invoices(failed, churn.as_of)
payments = pd.read_parquet(CLEAN / "payments.parquet")
attempts = payments[payments["kind"] == "failed"].sort_values("event_at")
codes = attempts.groupby("invoice_id")["decline_code"].first()
settled.groupby(settled["invoice_id"].map(codes)).agg(
    invoices=("amount", "size"), recovered=("recovered", "mean")
).sort_values("invoices", ascending=False).round(3)

# %%
days = (settled["paid_at"] - settled["failed_at"]).dt.total_seconds() / 86400
days.dropna().clip(upper=40).plot.hist(
    bins=40, figsize=(9, 3.5), title="days from the first failure to the payment"
)
# %%
failures = attempts.groupby([pd.Grouper(key="event_at", freq="MS"), "method"]).size().unstack()
failures.plot(figsize=(10, 3.5), title="failed attempts a month, by method")
