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
from pipelines.params import load_params
from pipelines.paths import CLEAN, SCORES, SNAPSHOTS
from retention.cohorts import cohort_curves
from retention.language import ENGLISH

if not Path("params.yaml").exists():  # Jupyter starts beside the notebook
    os.chdir("..")

params = load_params()
currency, horizons = params.ingest.currency, params.labels
snapshots = pd.read_parquet(SNAPSHOTS / "snapshots.parquet")
lifetimes = pd.read_parquet(SNAPSHOTS / "lifetimes.parquet")
as_of = snapshots["cutoff"].max()

# %% [markdown]
# ## Cohorts: of those who started together, how many are still there
#
# Kaplan-Meier curves: customers who are still there count until now, and no longer.

# %%
curves = cohort_curves(lifetimes, as_of)
curves.plot(
    figsize=(10, 4.5),
    ylim=(0, 1.02),
    colormap="viridis_r",
    title="share still there, by half-year of start",
)
plt.ylabel("share")
# %%
curves.loc[[month for month in (1, 3, 6, 12, 24) if month in curves.index]].round(3)

# %% [markdown]
# ## MRR lost, month by month and by cause
#
# What a customer paid is taken from the last snapshot before the stop.

# %%
last_mrr = snapshots.sort_values("cutoff").groupby("customer_id")["mrr"].last()
left = lifetimes[lifetimes["cause"].isin(CAUSES)].assign(
    mrr=lambda rows: rows["customer_id"].map(last_mrr)
)
lost = left.groupby([pd.Grouper(key="stopped_at", freq="MS"), "cause"])["mrr"].sum().unstack() / 100
lost.plot.bar(stacked=True, figsize=(11, 4), width=0.85, title=f"MRR lost a month, {currency}")
plt.gca().set_xticks(
    range(0, len(lost), 3), [f"{month:%Y-%m}" for month in lost.index[::3]], rotation=45
)
plt.xlabel("")
# %% [markdown]
# ## Revenue at risk now
#
# Risk times MRR, summed: the MRR that is expected to be gone if nobody acts.

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
# An invoice fails at its first attempt, is tried again, and is paid after all, or not.

# %%
payments = pd.read_parquet(CLEAN / "payments.parquet")
failed = payments[payments["kind"] == "failed"].sort_values("event_at")
first_failure = failed.groupby("invoice_id").first()
paid = payments[payments["kind"] == "succeeded"].groupby("invoice_id")["event_at"].min()
dunning = first_failure[["event_at", "amount", "decline_code", "method"]].assign(paid_at=paid)
settled = dunning[dunning["event_at"] < as_of - pd.Timedelta(days=60)]
recovered = settled["paid_at"].notna()
f"{len(settled):,} invoices failed and had 60 days: {recovered.mean():.0%} were paid after all, {ENGLISH.money(settled.loc[~recovered, 'amount'].sum(), currency)} were not"

# %%
settled.assign(recovered=recovered).groupby("decline_code").agg(
    invoices=("amount", "size"), recovered=("recovered", "mean")
).sort_values("invoices", ascending=False).round(3)

# %%
days = (settled["paid_at"] - settled["event_at"]).dt.total_seconds() / 86400
days.dropna().clip(upper=40).plot.hist(
    bins=40, figsize=(9, 3.5), title="days from the first failure to the payment"
)
# %%
failures = failed.groupby([pd.Grouper(key="event_at", freq="MS"), "method"]).size().unstack()
failures.plot(figsize=(10, 3.5), title="failed attempts a month, by method")
