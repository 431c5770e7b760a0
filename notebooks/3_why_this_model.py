# %% [markdown]
# # Why this model
#
# The scoreboard on test weeks that no model had seen: base rate, recency rule, logistic regression on
# the same features, and the competing risks that the list uses. These customers were not contacted.

# %%
import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from data.contracts import CAUSES
from models.review_plots import LISTED_SHARES, capacity_curves
from models.tables import SHOWN, with_interval
from pipelines.paths import BACKTEST, REPORTS

if not Path("params.yaml").exists():  # Jupyter starts beside the notebook
    os.chdir("..")

evaluation = json.loads((REPORTS / "evaluation" / "evaluation.json").read_text())
model, *rivals = evaluation["pooled"]
labels = list(evaluation["pooled"][model][CAUSES[0]])
first = labels[0]

# %% [markdown]
# ## Scoreboard, with 95 % intervals from resampling customers

# %%
pd.DataFrame(
    {
        (cause, SHOWN[metric]): {
            name: with_interval(cells[cause][first][metric], metric)
            for name, cells in evaluation["pooled"].items()
        }
        for cause in CAUSES
        for metric in ("log_loss", "average_precision", "auroc", "calibration_slope")
    }
)

# %% [markdown]
# ## Is the difference more than chance?
#
# Log loss of the model minus that of each rival, on the same resamples: left of 0, the model is better.

# %%
figure, panels = plt.subplots(1, len(CAUSES), figsize=(11, 3), sharey=True)
for panel, cause in zip(panels, CAUSES, strict=True):
    for position, rival in enumerate(rivals):
        gap = evaluation["differences"][rival][cause][first]["log_loss"]
        panel.plot([gap["low"], gap["high"]], [position, position], "-", color="#0f6e84")
        panel.plot(gap["value"], position, "o", color="#0f6e84")
    panel.axvline(0, color="grey", linewidth=1)
    panel.set_yticks(range(len(rivals)), [rival.replace("_", " ") for rival in rivals])
    panel.set_title(f"{cause} churn within {first}")
figure.supxlabel("log loss minus the rival's")
# %% [markdown]
# ## Calibration: of the customers with a risk of 20 %, do two in ten leave?

# %%
figure, panels = plt.subplots(1, len(CAUSES), figsize=(11, 4.5))
for panel, cause in zip(panels, CAUSES, strict=True):
    for label in labels:
        bins = pd.DataFrame(evaluation["reliability"][model][cause][label])
        panel.plot(bins["mean_risk"], bins["rate"], "o-", label=f"within {label}", markersize=4)
    panel.axline((0, 0), slope=1, color="grey", linestyle="--", linewidth=1)
    panel.set_title(f"{cause} churn")
    panel.set_xlabel("predicted")
    panel.legend(frameon=False)
panels[0].set_ylabel("observed")
# %% [markdown]
# The calibration error beside the error that perfect risks would show in 99 of 100 samples of that size:

# %%
pd.DataFrame(
    {
        cause: {
            label: f"{evaluation['pooled'][model][cause][label]['calibration_error']['value']:.4f}"
            f" (limit {evaluation['calibration_error_limit'][model][cause][label]:.4f})"
            for label in labels
        }
        for cause in CAUSES
    }
)

# %% [markdown]
# ## How long a list pays

# %%
scored = pd.read_parquet(BACKTEST / "test_scores.parquet")
figure, panels = plt.subplots(1, len(CAUSES), figsize=(11, 4))
for panel, cause in zip(panels, CAUSES, strict=True):
    for name, rows in scored.groupby("model", sort=False):
        caught = capacity_curves(rows, cause, first)["mrr"]
        panel.plot(LISTED_SHARES, caught, label=name.replace("_", " "))
    panel.set_xscale("log")
    panel.set_title(f"{cause} churn within {first}")
    panel.set_xlabel("share of customers contacted each week")
panels[0].set_ylabel("share of the lost MRR on the list")
panels[0].legend(frameon=False)
# %% [markdown]
# ## Backtest: week by week and block by block
#
# A model that is good on average and bad in one block learned something that does not last.

# %%
weeks = pd.DataFrame(
    {
        cause: {
            week: models[model][cause][first]["auroc"]
            for week, models in evaluation["weeks"].items()
        }
        for cause in CAUSES
    },
    dtype=float,
)
weeks.plot(figsize=(11, 3.5), marker="o", title=f"AUROC by test week, churn within {first}")
plt.axhline(0.5, color="grey", linewidth=1)
# %%
pd.DataFrame(
    {
        (cause, metric): {
            block: np.nan
            if models[model][cause][first][metric] is None
            else models[model][cause][first][metric]
            for block, models in evaluation["blocks"].items()
        }
        for cause in CAUSES
        for metric in ("rows", "events", "log_loss", "calibration_slope", "lift_at_capacity")
    }
).round(3)

# %% [markdown]
# ## For which customers is it worse?

# %%
pd.DataFrame(
    {
        (cause, metric): {
            segment: models[model][cause][first][metric]
            for segment, models in evaluation["segments"].items()
        }
        | {"first 13 weeks": evaluation["newcomers"][model][cause][first][metric]}
        for cause in CAUSES
        for metric in ("events", "auroc", "calibration_slope")
    },
    dtype=float,
).round(3)
