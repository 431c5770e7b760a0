"""Each metric against scikit-learn or a case worked out by hand; ties, weights, resamples."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import beta as beta_distribution
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from models import metrics, resampling
from models.metrics import METRICS, Sample, ScoredRows, expected_profit
from models.model_settings import Campaign

# Few distinct values, so that ties are common.
tied_risks = arrays.arrays(float, 40, elements=st.sampled_from([0.0, 0.01, 0.02, 0.1, 0.5, 1.0]))
outcomes = arrays.arrays(bool, 40).filter(lambda y: 0 < y.sum() < 40)
weights = arrays.arrays(float, 40, elements=st.integers(0, 3))


def scored(y: np.ndarray, risk: np.ndarray, **more: object) -> ScoredRows:
    """Rows of one week with equal MRR, unless said otherwise."""
    fields = {"mrr": np.ones(len(y)), "week": np.zeros(len(y), int)} | more
    return ScoredRows(y=np.asarray(y, bool), risk=np.asarray(risk, float), **fields)


def random_rows(rows: int = 4000, seed: int = 0) -> tuple[ScoredRows, np.ndarray]:
    """Risks that are the truth, four rows per customer, and the customers."""
    random = np.random.default_rng(seed)
    risk = random.beta(1, 12, rows)
    rows_of = scored(
        random.random(rows) < risk,
        risk,
        mrr=random.lognormal(8, 1, rows),
        week=random.integers(0, 5, rows),
    )
    return rows_of, np.arange(rows) // 4


@given(outcomes, tied_risks, weights)
def test_ranking_and_loss_are_those_of_scikit_learn(
    y: np.ndarray, risk: np.ndarray, weight: np.ndarray
) -> None:
    sample = Sample(scored(y, risk), weight)
    if not sample.both_classes:
        assert np.isnan(metrics.auroc(sample))
        return
    close = {"rel": 1e-9, "abs": 1e-12}
    assert metrics.auroc(sample) == pytest.approx(
        reference.roc_auc_score(y, risk, sample_weight=weight), **close
    )
    assert metrics.average_precision(sample) == pytest.approx(
        reference.average_precision_score(y, risk, sample_weight=weight), **close
    )
    assert metrics.log_loss(sample) == pytest.approx(
        reference.log_loss(y, risk, sample_weight=weight), **close
    )
    assert metrics.brier(sample) == pytest.approx(
        reference.brier_score_loss(y, risk, sample_weight=weight), **close
    )


def test_calibration_slope_and_intercept_are_those_of_their_regressions() -> None:
    rows, _ = random_rows()
    rows = scored(rows.y, expit(0.5 + 1.4 * logit(rows.risk)))
    weight = np.random.default_rng(1).integers(0, 3, len(rows.y)).astype(float)
    sample = Sample(rows, weight)
    slope = LogisticRegression(C=np.inf, tol=1e-8).fit(rows.log_odds[:, None], rows.y, weight).coef_
    assert metrics.calibration_slope(sample) == pytest.approx(slope[0, 0], abs=1e-4)
    level = brentq(lambda a: np.sum(weight * (expit(a + rows.log_odds) - rows.y)), -9, 9)
    assert metrics.calibration_intercept(sample) == pytest.approx(level, abs=1e-7)


def test_true_risks_are_calibrated() -> None:
    values = metrics.all_metrics(random_rows(200_000)[0])
    assert values["calibration_slope"] == pytest.approx(1, abs=0.03)
    assert values["calibration_intercept"] == pytest.approx(0, abs=0.03)
    assert values["calibration_error"] < 0.003


def test_calibration_error_of_two_bins_by_hand() -> None:
    rows = scored([0, 0, 0, 1, 0, 1, 1, 1], [0.1] * 4 + [0.6] * 4, bins=2)
    # |0.1 - 1/4| and |0.6 - 3/4|, half of the rows each.
    assert metrics.calibration_error(Sample.whole(rows)) == pytest.approx(0.15)
    assert metrics.reliability_bins(rows) == [
        {"rows": 4, "events": 1, "mean_risk": pytest.approx(0.1), "rate": 0.25},
        {"rows": 4, "events": 3, "mean_risk": pytest.approx(0.6), "rate": 0.75},
    ]


@given(tied_risks, outcomes)
def test_bins_are_of_equal_mass_but_for_ties_and_hold_every_row(
    risk: np.ndarray, y: np.ndarray
) -> None:
    rows = scored(y, risk, bins=5)
    bins = metrics.reliability_bins(rows)
    assert sum(one["rows"] for one in bins) == 40
    assert sum(one["events"] for one in bins) == y.sum()
    for value in np.unique(risk):
        assert len(set(rows.bin[risk == value])) == 1
    distinct = scored(y, np.arange(40) / 40, bins=5)
    assert [one["rows"] for one in metrics.reliability_bins(distinct)] == [8] * 5


def test_the_expected_profit_is_the_best_share_for_every_rate_of_success() -> None:
    random = np.random.default_rng(0)
    risk = np.round(random.beta(1, 5, 300), 2)
    y = random.random(300) < risk
    terms = Campaign(value=20_000, offer_cost=1_000, contact_cost=100, alpha=6, beta=14)
    rows = scored(y, risk, campaign=terms)

    def best(success: float) -> float:
        shares = [risk >= least for least in (*np.unique(risk), 2)]
        return max(
            np.sum(np.where(y[share], success * 19_000 - 100, -1_100.0)) for share in shares
        ) / len(y)

    middles = beta_distribution(6, 14).ppf((np.arange(1000) + 0.5) / 1000)
    expected = np.mean([best(success) for success in middles])
    assert expected_profit(Sample.whole(rows)) == pytest.approx(expected, rel=1e-3)


def test_the_expected_profit_of_two_customers_by_hand() -> None:
    # Success is all but certain to be 1/2: the churner brings 0.5 * (100 - 20) - 10 = 30; the other
    # would cost 20 + 10, so that ranked above the churner it takes the profit away.
    terms = Campaign(value=100, offer_cost=20, contact_cost=10, alpha=1e6, beta=1e6)
    for risk, profit in (([0.9, 0.1], 30 / 2), ([0.1, 0.9], 0.0)):
        rows = scored(np.array([True, False]), np.array(risk), campaign=terms)
        assert expected_profit(Sample.whole(rows)) == pytest.approx(profit, abs=0.02)


def test_the_weekly_list_by_hand() -> None:
    rows = scored(
        #   week 0: two of four places    week 1: two of four
        [1, 0, 1, 0, 0, 1, 0, 0],
        [0.9, 0.8, 0.7, 0.1, 0.6, 0.5, 0.2, 0.1],
        mrr=np.array([10, 10, 70, 10, 10, 20, 10, 10]),
        week=np.array([0, 0, 0, 0, 1, 1, 1, 1]),
        capacity=0.5,
    )
    values = metrics.all_metrics(rows)
    assert values["precision_at_capacity"] == pytest.approx(2 / 4)
    assert values["recall_at_capacity"] == pytest.approx(2 / 3)
    assert values["lift_at_capacity"] == pytest.approx((2 / 4) / (3 / 8))
    # By risk times MRR, week 0 takes the third row and the first, week 1 the second and first.
    assert values["mrr_caught_at_capacity"] == pytest.approx(1.0)


def test_ties_for_the_last_places_share_them() -> None:
    rows = scored([1, 1, 0, 0, 0], [0.9, 0.3, 0.3, 0.3, 0.1], capacity=0.4)
    contacted = Sample.whole(rows).contacted
    assert contacted == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0])
    assert metrics.precision_at_capacity(Sample.whole(rows)) == pytest.approx((1 + 1 / 3) / 2)
    half = scored([1, 0, 0], [0.3, 0.2, 0.1], capacity=0.5)
    assert Sample.whole(half).contacted == pytest.approx([1, 0.5, 0])


@given(outcomes, tied_risks, st.randoms(use_true_random=False))
def test_no_metric_depends_on_the_order_of_rows(
    y: np.ndarray, risk: np.ndarray, random: object
) -> None:
    week, mrr = np.arange(40) % 3, np.arange(40.0) // 4
    order = np.array(random.sample(range(40), 40))
    straight = metrics.all_metrics(scored(y, risk, week=week, mrr=mrr))
    shuffled = metrics.all_metrics(scored(y[order], risk[order], week=week[order], mrr=mrr[order]))
    if risk.min() == 0 or risk.max() == 1:
        # Beside a risk of 0 or 1 that proved wrong, no line fits: how the search ends is chance.
        for metrics_of_rows in (straight, shuffled):
            for name in ("calibration_slope", "calibration_intercept"):
                del metrics_of_rows[name]
    assert shuffled == pytest.approx(straight, rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", METRICS)
def test_a_weight_is_a_number_of_copies(name: str) -> None:
    rows, _ = random_rows(400)
    weight = np.random.default_rng(2).integers(0, 4, 400)
    copies = {
        field: np.repeat(getattr(rows, field), weight) for field in ("y", "risk", "mrr", "week")
    }
    repeated = dataclasses.replace(rows, **copies)
    # Bins are cut on the rows before they are copied.
    repeated.__dict__["bin"] = np.repeat(rows.bin, weight)
    expected = METRICS[name](Sample.whole(repeated))
    assert METRICS[name](Sample(rows, weight.astype(float))) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("y", [np.zeros(5, bool), np.ones(5, bool), np.empty(0, bool)])
def test_one_class_and_no_rows_are_undefined_and_raise_nothing(y: np.ndarray) -> None:
    values = metrics.all_metrics(scored(y, np.linspace(0.1, 0.5, len(y))))
    assert np.isnan(values["auroc"])
    assert np.isnan(values["calibration_slope"])
    assert np.isfinite(values["log_loss"]) == (len(y) > 0)


def test_resamples_draw_whole_customers() -> None:
    counts = resampling.resampled_counts(50, 300, seed=1)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.mean() == 1
    assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.05)
    assert (counts == resampling.resampled_counts(50, 300, seed=1)).all()
    assert not (counts == resampling.resampled_counts(50, 300, seed=2)).all()


def test_intervals_are_wider_when_the_rows_of_a_customer_repeat_each_other() -> None:
    rows, _ = random_rows(1000)
    four = np.repeat(np.arange(1000), 4)
    copies = {field: getattr(rows, field)[four] for field in ("y", "risk", "mrr", "week")}
    repeated = dataclasses.replace(rows, **copies)
    counts = resampling.resampled_counts(1000, 200, seed=0)
    by_customer = resampling.resample(repeated, four, counts)["log_loss"].std()
    once = resampling.resample(rows, np.arange(1000), counts)["log_loss"].std()
    assert by_customer == pytest.approx(once)
    loss = np.where(rows.y, -np.log(rows.risk), -np.log(1 - rows.risk))
    assert by_customer == pytest.approx(loss.std() / np.sqrt(1000), rel=0.2)


def test_an_estimate_is_its_value_between_percentiles() -> None:
    estimate = resampling.estimate(0.5, np.append(np.linspace(0, 1, 1001), np.nan))
    assert estimate == pytest.approx({"value": 0.5, "low": 0.025, "high": 0.975})
    assert resampling.estimate(np.nan, np.full(3, np.nan)) == dict.fromkeys(
        ("value", "low", "high")
    )


def test_the_limit_of_the_calibration_error_separates_true_from_bold_risks() -> None:
    for seed in range(5):
        rows, customer = random_rows(seed=seed)
        limit = resampling.calibration_error_limit(rows, customer, simulations=300)
        assert metrics.calibration_error(Sample.whole(rows)) < limit
        bold = scored(rows.y, expit(0.5 + 1.6 * logit(rows.risk)))
        limit = resampling.calibration_error_limit(bold, customer, simulations=300)
        assert metrics.calibration_error(Sample.whole(bold)) > limit
