# %% [markdown]
# # Explain a customer
#
# The reasons on the list are sums of SHAP values by group. Here they are taken apart for the customer
# at the top of the success queue, and added up again to the number that was handed out.

# %%
import dataclasses
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shap
from scipy.special import expit, logit

from models.boosters import load_model
from models.explain import explain, grouped
from pipelines.load import load_catalog, load_newest
from pipelines.params import load_params
from pipelines.paths import MODEL, SCORES
from retention.reasons import explanations

if not Path("params.yaml").exists():  # Jupyter starts beside the notebook
    os.chdir("..")

params = load_params()
horizons = params.labels
catalog = load_catalog()
model = load_model(MODEL)
newest, _ = load_newest(params.clock, horizons)
names = newest.feature_names
listed = pd.read_parquet(SCORES / "list.parquet")
top = listed[listed["queue"] == "success"].iloc[0]
row = np.flatnonzero(newest.customer_id == top["customer_id"])
top[["customer_id", "segment", "mrr", "reason_1", "reason_2", "reason_3", "lowering_reason"]]

# %% [markdown]
# ## They add up to the served number

# %%
base, contributions = explain(model, newest.X[row], names, "voluntary")
added = expit(base + contributions.sum(axis=1))[0]
served = top[f"risk_{horizons[0]}"]
assert abs(logit(added) - logit(served)) < 1e-6
f"base {expit(base)[0]:.2%}, with all that is known {added:.2%}, on the list {served:.2%}"

# %% [markdown]
# ## Feature by feature

# %%
one = shap.Explanation(
    contributions[0],
    base_values=base[0],
    data=newest.X[row][0].astype(float),
    feature_names=list(names),
)
shap.plots.waterfall(one, max_display=14)

# %% [markdown]
# ## Group by group, as on the list

# %%
groups = {feature.name: feature.group for feature in catalog}
group_names, sums = grouped(contributions, names, groups)
pd.Series(sums[0], group_names).sort_values().plot.barh(
    figsize=(8, 5), title=f"{top['customer_id']}: contribution of each group, log-odds"
)
plt.axvline(0, color="grey", linewidth=1)
# %%
told = explanations(base, contributions, newest.X[row], catalog, 3, params.ingest.currency)[0]
[reason.text for reason in told.raising]

# %% [markdown]
# ## The same for many customers: what drives today's risks
#
# Each point is a customer; red is a high value of the feature.

# %%
rows = np.sort(np.random.default_rng(7).permutation(len(newest))[:500])
many = {
    cause: explain(model, newest.X[rows], names, cause)[1] for cause in ("voluntary", "involuntary")
}
for cause, values in many.items():
    drawn = shap.Explanation(values, data=newest.X[rows].astype(float), feature_names=list(names))
    shap.plots.beeswarm(drawn, max_display=12, show=False)
    plt.title(f"{cause} churn within {horizons[0]}")
    plt.show()

# %% [markdown]
# ## The values of the trees are those of `shap.TreeExplainer`
#
# The trees grow on a regression; its values are added, and the sum is exact.

# %%
scorer = model.hazards[0][0].scorer
if scorer is not None:
    reference = shap.TreeExplainer(scorer.booster).shap_values(newest.X[rows])
    ours = dataclasses.replace(scorer, start=None).contributions(newest.X[rows])[:, :-1]
    assert np.allclose(reference, ours)
    print("largest difference:", np.abs(reference - ours).max())

# %% [markdown]
# ## How one feature affects the risk

# %%
leading = int(np.argmax(np.abs(many["voluntary"]).mean(axis=0)))
plt.figure(figsize=(8, 4))
plt.scatter(newest.X[rows][:, leading], many["voluntary"][:, leading], s=8, color="#0f6e84")
plt.xlabel(names[leading])
plt.ylabel("contribution, log-odds")
