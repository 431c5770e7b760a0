"""Draw the pictures of docs/world.md: ``python docs/draw_world.py RAW TRUTH TARGET``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.dates as mdates
import numpy as np
import pandas as pd

from data.contracts import CAUSES

WEEK = pd.Timedelta(weeks=1)
COLOURS = {"voluntary": "tab:red", "involuntary": "tab:blue", "stayed": "tab:gray"}


def weeks_between(earlier: pd.Series[Any], later: pd.Series[Any]) -> pd.Series[Any]:
    """Return whole weeks from one instant to another, row by row."""
    return (later - earlier).dt.days // 7


def departures(subscriptions: pd.DataFrame) -> pd.DataFrame:
    """Return the last departure of each customer who has left at the end: when and why.

    Parameters
    ----------
    subscriptions
        The raw log. The first row of the last run of cancellations counts.
    """
    log = subscriptions.drop_duplicates("event_id").sort_values("event_at", kind="stable")
    log = log[log["subscription_id"].str.endswith("-1")]
    over = log["kind"].isin(["cancel_scheduled", "cancelled"])
    undone = log["kind"].isin(["activated", "cancel_revoked", "reactivated", "ended"])
    newest = log[undone].groupby("customer_id")["event_at"].max()
    gone = log[over & (log["event_at"] > log["customer_id"].map(newest))]
    first = gone.drop_duplicates("customer_id").set_index("customer_id")
    return pd.DataFrame(
        {
            "left_at": first["event_at"],
            "left_by": first["cause"].fillna("voluntary"),
            "left_term": first["billing_interval"],
            "term_ends_at": first["renews_at"],
        }
    )


def draw_use_before_leaving(axes: Any, weeks: pd.DataFrame, left: pd.DataFrame) -> None:
    """Draw use in the half year before a departure, relative to the weeks before that."""
    joined = weeks.join(left, on="customer_id")
    for cause in CAUSES:
        rows = joined[joined["left_by"] == cause]
        ago = weeks_between(rows["cutoff"], rows["left_at"])
        curve = rows["used"].groupby(ago).mean().loc[0:25]
        curve /= curve.loc[14:25].mean()
        axes.plot(-curve.index, curve, color=COLOURS[cause], label=cause)
    axes.set(title="Use before leaving", xlabel="weeks before", ylabel="use, own past = 1", ylim=0)
    axes.legend()


def draw_rate_by_tenure(axes: Any, weeks: pd.DataFrame, left: pd.DataFrame) -> None:
    """Draw the weekly share that leaves, by weeks since the subscription was first live."""
    start = weeks.groupby("customer_id")["cutoff"].min()
    age = (weeks_between(weeks["customer_id"].map(start), weeks["cutoff"]) // 4 * 4).rename("age")
    live = weeks.groupby(age).size() / 4
    for cause in CAUSES:
        some = left[left["left_by"] == cause]
        age_left = weeks_between(start.reindex(some.index), some["left_at"]) // 4 * 4
        rate = 25 * age_left.value_counts().reindex(live.index, fill_value=0) / live
        rate = rate.loc[0:104]
        axes.plot(rate.index, rate, color=COLOURS[cause], label=cause)
    axes.set(title="Leaving by tenure", xlabel="weeks since start", ylabel="% a week", ylim=0)


def draw_leaving_before_renewal(axes: Any, left: pd.DataFrame) -> None:
    """Draw when in a yearly or quarterly term customers decide to leave."""
    decided = left[left["left_by"] == "voluntary"]
    for term, colour in (("year", "tab:purple"), ("quarter", "tab:orange")):
        some = decided[decided["left_term"] == term]
        ahead = weeks_between(some["left_at"], some["term_ends_at"])
        share = 100 * ahead.value_counts(normalize=True).sort_index()
        axes.plot(-share.index, share, color=colour, label=f"paying by {term}")
    axes.set(title="Decisions to leave", xlabel="weeks to the end of the term", ylabel="% of them")
    axes.legend()


def draw_seasons(axes: Any, weeks: pd.DataFrame, customers: pd.DataFrame) -> None:
    """Draw use through the years in three countries."""
    country = weeks["customer_id"].map(customers.set_index("customer_id")["country"])
    for name, colour in (("GB", "tab:gray"), ("SE", "tab:olive"), ("IT", "tab:green")):
        use = weeks[country == name].groupby("cutoff")["used"].mean()
        axes.plot(use.index, use, color=colour, linewidth=1, label=name)
    axes.set(title="Seasons", ylabel="features used a week", ylim=0)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.legend(loc="lower center", ncols=3)


def draw_calibration(axes: Any, weeks: pd.DataFrame, left: pd.DataFrame) -> None:
    """Draw the share that left within four weeks against the true risk."""
    known = weeks[weeks["cutoff"] <= weeks["cutoff"].max() - 6 * WEEK].join(left, on="customer_id")
    soon = (known["left_at"] - known["cutoff"]) <= 4 * WEEK
    for cause in CAUSES:
        risk = known[f"risk_{cause}_4w"]
        bins = pd.qcut(risk[risk > 1e-5], 20, labels=False, duplicates="drop")
        happened = (soon & (known["left_by"] == cause)).astype(float)
        axes.loglog(
            risk.groupby(bins).mean(), happened.groupby(bins).mean(), "o", markersize=3,
            color=COLOURS[cause], label=cause,
        )  # fmt: skip
    line = np.array([1e-4, 1.0])
    axes.loglog(line, line, color="black", linewidth=0.5)
    axes.set(title="The truth is calibrated", xlabel="risk at 4 weeks", ylabel="share that left")


def draw_satisfaction(axes: Any, weeks: pd.DataFrame, left: pd.DataFrame) -> None:
    """Draw satisfaction, which no log shows, of customers about to leave and of the others."""
    joined = weeks.join(left, on="customer_id")
    soon = (joined["left_at"] - joined["cutoff"]) <= 4 * WEEK
    bins = np.arange(-2.625, 2.75, 0.25)
    for cause in CAUSES:
        chosen = soon & (joined["left_by"] == cause)
        axes.hist(
            joined.loc[chosen, "satisfaction"], bins, density=True, histtype="step",
            color=COLOURS[cause], label=f"{cause} within 4 weeks",
        )  # fmt: skip
    axes.hist(
        joined.loc[~soon, "satisfaction"], bins, density=True, histtype="step",
        color=COLOURS["stayed"], label="stayed",
    )  # fmt: skip
    axes.set(title="Hidden satisfaction", xlabel="satisfaction", yticks=[], ylim=(0, 0.9))
    axes.legend(loc="upper left", fontsize="small")


def draw_world(raw: Path, truth: Path, target: Path) -> None:
    """Draw one picture of six planted patterns from a world's files to ``target/patterns.png``."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    usage = pd.read_parquet(raw / "usage.parquet", columns=["customer_id", "event_at"])
    weeks = pd.read_parquet(truth / "truth.parquet")
    first = weeks["cutoff"].min()
    cutoff = first + np.maximum(0, (usage["event_at"] - first).dt.days // 7 + 1) * WEEK
    used = usage.groupby([usage["customer_id"], cutoff.rename("cutoff")]).size().rename("used")
    weeks = weeks.join(used, on=["customer_id", "cutoff"]).fillna({"used": 0})
    left = departures(pd.read_parquet(raw / "subscriptions.parquet"))
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.2), layout="constrained")
    draw_use_before_leaving(axes[0, 0], weeks, left)
    draw_rate_by_tenure(axes[0, 1], weeks, left)
    draw_leaving_before_renewal(axes[0, 2], left)
    draw_seasons(axes[1, 0], weeks, pd.read_parquet(raw / "customers.parquet"))
    draw_satisfaction(axes[1, 1], weeks, left)
    draw_calibration(axes[1, 2], weeks, left)
    target.mkdir(parents=True, exist_ok=True)
    figure.savefig(target / "patterns.png", dpi=90, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=Path, help="folder of the raw logs")
    parser.add_argument("truth", type=Path, help="folder of the truth")
    parser.add_argument("target", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    draw_world(arguments.raw, arguments.truth, arguments.target)


if __name__ == "__main__":
    main()
