"""The competing-risks model: its training rows, what it promises, how it handles few churners."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from data.coded import UNKNOWN
from data.errors import BadInputError
from models.baselines import logistic_learner
from models.boosters import NAME, booster_learner, load_model, model_digest, save_model
from models.competing_risks import (
    LARGEST_SUM,
    ModelSettings,
    RiskModel,
    compose,
    fit_risk_model,
)
from models.hazards import Learner
from models.plausibility import Limits
from models.risk_data import RiskData, Selection
from models.split import Span, refit_block, rolling_blocks
from worlds.risk_world import LAST, MODEL, NAMES, SPLIT, risk_world, true_risks

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = rolling_blocks(0, LAST, SPLIT)[0]


def fitted(data: RiskData, settings: ModelSettings = MODEL, **sizes: int) -> RiskModel:
    return fit_risk_model(NAME, booster_learner(settings, **sizes), data, BLOCK.slices, settings)


@cache
def example() -> tuple[RiskData, RiskModel]:
    data = risk_world()
    return data, fitted(data)


def digest(model: RiskModel, folder: Path) -> str:
    save_model(model, folder)
    return model_digest(folder)


def with_outcome(data: RiskData, outcome: np.ndarray) -> RiskData:
    return dataclasses.replace(data, outcome=outcome.astype(np.int8))


# --- who it learns from


class Spy:
    """A learner that records its rows; its log-odds are 0."""

    size = "nothing"
    strongest = None

    def __init__(self) -> None:
        self.rows: list[tuple[np.ndarray, np.ndarray]] = []
        self.events: list[tuple[np.ndarray, np.ndarray, str | None]] = []

    def __call__(self, train: Selection, stop: Selection, _: tuple[str, ...]) -> object:
        self.rows.append((train.copy(), stop.copy()))
        return self.fit

    def fit(self, y_train: np.ndarray, y_stop: np.ndarray, cause: str | None) -> Spy:
        self.events.append((y_train, y_stop, cause))
        return self

    def log_odds(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X))


def test_a_hazard_is_learned_from_who_stayed_until_it_begins_and_is_known_at_its_end() -> None:
    data = risk_world(100)
    random = np.random.default_rng(5)
    outcome = np.where(random.random(data.outcome.shape) < 0.2, UNKNOWN, data.outcome)
    data, spy = with_outcome(data, outcome), Spy()
    fit_risk_model("spy", spy, data, BLOCK.slices, dataclasses.replace(MODEL, min_events=1))
    for interval, spans in enumerate(BLOCK.slices):
        for part, span in enumerate((spans.train, spans.stop)):
            expected = [
                row
                for row in range(len(data))
                if span.first <= data.cutoff[row] <= span.last
                and outcome[row, interval] != UNKNOWN
                and (interval == 0 or outcome[row, interval - 1] == 0)
            ]
            assert (spy.rows[interval][part] == data.X[expected]).all()
            for code, cause in ((1, "voluntary"), (2, "involuntary")):
                events = spy.events[2 * interval + code - 1]
                assert events[2] == cause
                assert (events[part] == (outcome[expected, interval] == code)).all()


def test_unknown_outcomes_never_count_as_stayed() -> None:
    data = risk_world(100)
    half = np.random.default_rng(0).random(len(data)) < 0.5
    # Unknown on half of the rows, or these rows not there: the same model.
    outcome = np.where(half[:, None], UNKNOWN, data.outcome)
    unknown = fitted(with_outcome(data, outcome))
    absent = fitted(data.take(~half))
    assert (unknown.predict(data.X, NAMES) == absent.predict(data.X, NAMES)).all()


def test_nothing_that_was_unknown_at_the_first_test_cutoff_reaches_the_model(
    tmp_path: Path,
) -> None:
    data, model = example()
    assert BLOCK.test
    scrambled = data.outcome.copy()
    known_at = data.cutoff[:, None] + np.array(SPLIT.horizons) + SPLIT.follow_up_periods
    random = np.random.default_rng(1)
    late = known_at > BLOCK.test.first
    scrambled[late] = random.integers(-1, 3, late.sum())
    X = np.where((data.cutoff > BLOCK.test.first)[:, None], 99, data.X).astype(np.float32)
    other = fitted(dataclasses.replace(with_outcome(data, scrambled), X=X))
    assert digest(other, tmp_path / "other") == digest(model, tmp_path / "model")
    # One period later, an outcome counts: the test above can fail.
    scrambled[known_at == BLOCK.test.first] = 1
    other = fitted(with_outcome(data, scrambled))
    assert digest(other, tmp_path / "other") != digest(model, tmp_path / "model")


# --- what it promises

hazards = arrays.arrays(float, (7, 2, 3), elements=st.floats(0, 1))


@given(hazards)
def test_composed_risks_rise_and_sum_to_at_most_one(values: np.ndarray) -> None:
    risks, scaled = compose(values)
    assert (risks >= 0).all()
    assert (np.diff(risks, axis=2) >= 0).all()
    assert (risks.sum(axis=1) <= 1 + 1e-12).all()
    assert (scaled == (values.sum(axis=1) > LARGEST_SUM).any(axis=1)).all()
    assert (risks[~scaled, :, 0] == values[~scaled, :, 0]).all()
    assert (risks[:, :, 0].sum(axis=1) <= LARGEST_SUM + 1e-12).all()


def test_composed_risks_by_hand() -> None:
    risks, scaled = compose(np.array([[[0.1, 0.2], [0.3, 0.5]], [[0.9, 0.0], [0.9, 0.0]]]))
    assert risks[0] == pytest.approx(np.array([[0.1, 0.1 + 0.6 * 0.2], [0.3, 0.3 + 0.6 * 0.5]]))
    assert risks[1, :, 0] == pytest.approx([0.5, 0.5], abs=1e-5)
    assert scaled.tolist() == [False, True]


def test_risks_are_near_the_truth() -> None:
    _, model = example()
    fresh = risk_world(seed=1)
    risks, truth = model.predict(fresh.X, NAMES), true_risks(fresh.X)
    assert (np.diff(risks, axis=2) >= 0).all()
    assert (risks.sum(axis=1) < 1).all()
    for cause in range(2):
        for horizon in range(3):
            predicted, true = risks[:, cause, horizon], truth[:, cause, horizon]
            assert np.corrcoef(predicted, true)[0, 1] > 0.9
            assert predicted.mean() == pytest.approx(true.mean(), rel=0.1)


def test_shuffled_outcomes_teach_nothing() -> None:
    data = risk_world()
    control = data.shuffled(seed=0)
    for cutoff in (0, 30, LAST):
        rows = data.cutoff == cutoff
        before, after = (np.sort(one.outcome[rows], axis=0) for one in (data, control))
        assert (before == after).all()
    assert (control.outcome != data.outcome).any()
    shuffled = control.outcome
    model = fitted(control)
    assert BLOCK.test
    test = data.take(BLOCK.test.holds(data.cutoff))
    for code, cause in ((1, 0), (2, 1)):
        y = shuffled[BLOCK.test.holds(data.cutoff), 0] == code
        risk = model.predict(test.X, NAMES)[:, cause, 0]
        error = np.sqrt(1 / y.sum() + 1 / (~y).sum()) / np.sqrt(12)
        assert abs(roc_auc_score(y, risk) - 0.5) < 3 * error


def test_a_monotone_constraint_is_kept() -> None:
    data, free = example()
    signs = {"voluntary": {"days_since_last_use": 1, "noise_1": -1}}
    bound = fitted(data, dataclasses.replace(MODEL, monotone=signs))

    def rises(model: RiskModel, feature: str) -> np.ndarray:
        X = np.repeat(data.X[:50], 40, axis=0).reshape(50, 40, -1)
        X[:, :, NAMES.index(feature)] = np.linspace(-3, 3, 40)
        hazard = model.hazards[0][0]
        return np.diff(hazard.log_odds(X.reshape(2000, -1)).reshape(50, 40), axis=1)

    assert (rises(bound, "days_since_last_use") >= 0).all()
    assert (rises(bound, "noise_1") <= 0).all()
    assert (rises(free, "noise_1") > 0).any()


def test_class_weights_are_refused() -> None:
    weighted = dataclasses.replace(MODEL, lightgbm={"scale_pos_weight": 10})
    with pytest.raises(BadInputError, match="scale_pos_weight is refused"):
        booster_learner(weighted)


def test_features_must_be_those_of_the_training_in_their_order() -> None:
    data, model = example()
    with pytest.raises(BadInputError, match=r"missing .'noise_2'.*unknown .'novel'"):
        model.predict(data.X, (*NAMES[:-1], "novel"))
    with pytest.raises(BadInputError, match="order matters"):
        model.predict(data.X, NAMES[::-1])


def test_no_rows_get_no_risks() -> None:
    data, model = example()
    assert model.predict(data.X[:0], NAMES).shape == (0, 2, 3)


# --- contraction


def test_contraction_is_learned_from_who_stayed_and_adds_to_the_expected_loss() -> None:
    _, model = example()
    fresh = risk_world(seed=1)
    risks = model.predict(fresh.X, NAMES)
    less = model.contraction_risk(fresh.X, risks)
    stays = 1 - risks[:, :, -1].sum(axis=1)
    assert (less > 0).all()
    assert (less < stays).all()
    truth = (1 - true_risks(fresh.X)[:, :, -1].sum(axis=1)) * expit(-2 + 0.8 * fresh.X[:, 2])
    assert np.corrcoef(less, truth)[0, 1] > 0.8
    assert less.mean() == pytest.approx(truth.mean(), rel=0.1)
    assert model.contraction is not None
    assert model.contraction.lost_share == pytest.approx(0.5, abs=0.01)
    loss = model.expected_loss(risks, less, fresh.mrr)
    assert loss == pytest.approx((1 - stays + model.contraction.lost_share * less) * fresh.mrr)


def test_where_no_later_mrr_is_known_there_is_no_risk_of_contraction(tmp_path: Path) -> None:
    data = risk_world(100)
    unknown = np.full(len(data), UNKNOWN, np.int64)
    model = fitted(dataclasses.replace(data, mrr_later=unknown))
    save_model(model, tmp_path / "model")
    model = load_model(tmp_path / "model")
    risks = model.predict(data.X, NAMES)
    less = model.contraction_risk(data.X, risks)
    assert np.isnan(less).all()
    assert model.expected_loss(risks, less, data.mrr) == pytest.approx(
        risks[:, :, -1].sum(axis=1) * data.mrr
    )


# --- too good to be true


LIMITS = Limits(
    voluntary_auroc=0.9,
    involuntary_auroc=0.95,
    feature_share=0.98,
    settled_by={"involuntary": "failed_payments"},
)


def test_an_honest_model_is_not_suspected() -> None:
    # In a world this small one feature may well carry a cause: only the ranking can be too good.
    limits = dataclasses.replace(LIMITS, feature_share=1.01)
    assert fitted(example()[0], dataclasses.replace(MODEL, limits=limits)).notes == ()


@pytest.mark.parametrize(("code", "cause"), [(1, "voluntary"), (2, "involuntary")])
def test_a_planted_leak_is_suspected_by_its_name(code: int, cause: str) -> None:
    data, _ = example()
    X = data.X.copy()
    X[:, NAMES.index("noise_2")] = data.outcome[:, 0] == code
    # Too few leave without owing a payment in so small a world: here, all of them count.
    limits = dataclasses.replace(LIMITS, settled_by={})
    leaky = fitted(dataclasses.replace(data, X=X), dataclasses.replace(MODEL, limits=limits))
    warnings = [note for note in leaky.notes if "noise_2" in note]
    assert len(warnings) == 2
    assert all(note.startswith(f"{cause} churn in periods 1 to 2: too good") for note in warnings)
    assert "AUROC 1.000" in warnings[0]
    assert "noise_2 carries 100% of the skill" in warnings[1]


def test_churn_that_a_failed_payment_predicts_is_not_suspected() -> None:
    # Customers who owe a failed payment leave and no others do: known, and not suspicious.
    data, _ = example()
    outcome = data.outcome.copy()
    X = data.X.copy()
    owes = np.random.default_rng(3).random(len(data)) < 0.1
    X[:, 1] = owes
    outcome[outcome == 2] = 0
    outcome[owes[:, None] & (outcome == 0)] = 2
    chance = np.random.default_rng(4).random(len(data)) < 0.01
    outcome[(chance & ~owes)[:, None] & (outcome == 0)] = 2
    settings = dataclasses.replace(MODEL, limits=LIMITS)
    changed = dataclasses.replace(with_outcome(data, outcome), X=X)
    warning = "involuntary churn in periods 1 to 2: too good"
    assert not any(note.startswith(warning) for note in fitted(changed, settings).notes)
    everywhere = dataclasses.replace(LIMITS, settled_by={})
    notes = fitted(changed, dataclasses.replace(settings, limits=everywhere)).notes
    assert any(note.startswith(warning) and "failed_payments carries" in note for note in notes)


# --- the same to the bit


def test_streamed_rows_teach_the_same_every_time_and_bin_alike(tmp_path: Path) -> None:
    data, whole = example()
    sizes = {"binned_rows": 2000, "batch_rows": 300}
    streamed = fitted(data, **sizes)
    assert digest(fitted(data, **sizes), tmp_path / "again") == digest(
        streamed, tmp_path / "streamed"
    )
    # The bins are cut by a part of the rows, so that the trees differ a little, and only a little.
    one, other = (model.predict(data.X, NAMES) for model in (whole, streamed))
    assert (one != other).any()
    assert np.corrcoef(one[:, 0, 0], other[:, 0, 0])[0, 1] > 0.98


def test_a_rerun_and_another_number_of_threads_give_the_same_model(tmp_path: Path) -> None:
    data, model = example()
    expected = digest(model, tmp_path / "model")
    assert digest(fitted(data), tmp_path / "again") == expected
    two = fitted(data, dataclasses.replace(MODEL, threads=2))
    assert digest(two, tmp_path / "two") == expected
    assert (two.predict(data.X, NAMES) == model.predict(data.X, NAMES)).all()
    other = fitted(data, dataclasses.replace(MODEL, seed=8))
    assert digest(other, tmp_path / "other") != expected


def test_a_saved_model_scores_the_same_in_another_process(tmp_path: Path) -> None:
    data, model = example()
    save_model(model, tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(
        ["model.json"]
        + [f"model_{c}_{h}.txt" for c in ("voluntary", "involuntary") for h in MODEL.labels]
        + ["model_contraction_6w.txt"]
    )
    np.save(tmp_path / "X.npy", data.X[:500])
    code = (
        "import sys, pathlib, numpy as np; from models.boosters import load_model\n"
        "folder = pathlib.Path(sys.argv[1]); model = load_model(folder / 'model', threads=2)\n"
        "risks = model.predict(np.load(folder / 'X.npy'), model.feature_names)\n"
        "np.save(folder / 'risks.npy', risks)\n"
        "less = model.contraction_risk(np.load(folder / 'X.npy'), risks)\n"
        "np.save(folder / 'less.npy', less)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)  # noqa: S603
    risks = np.load(tmp_path / "risks.npy")
    assert (risks == model.predict(data.X[:500], NAMES)).all()
    assert (np.load(tmp_path / "less.npy") == model.contraction_risk(data.X[:500], risks)).all()
    loaded = load_model(tmp_path / "model")
    assert (loaded.slices, loaded.labels) == (model.slices, model.labels)
    assert digest(loaded, tmp_path / "saved-again") == digest(model, tmp_path / "model")


def test_a_folder_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no model at"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 0}')
    with pytest.raises(BadInputError, match="has format 0"):
        load_model(tmp_path)


# --- few churners


def test_a_rare_cause_is_learned_from_both_and_keeps_its_level(tmp_path: Path) -> None:
    data = risk_world()
    rare = data.outcome.copy()
    gone = (rare == 2) & (np.random.default_rng(0).random(len(rare)) > 0.03)[:, None]
    rare[gone] = 0
    model = fitted(with_outcome(data, rare))
    assert len(model.notes) == 3
    assert all("involuntary" in note and "both causes together" in note for note in model.notes)
    assert "periods 1 to 2" in model.notes[0]
    assert "periods 3 to 4" in model.notes[1]
    risks = model.predict(data.X, NAMES)
    known = rare[:, 0] != UNKNOWN
    assert risks[known, 1, 0].mean() == pytest.approx((rare[known, 0] == 2).mean(), rel=0.5)
    assert risks[:, 1, 0].std() > 0.1 * risks[:, 1, 0].mean()
    save_model(model, tmp_path / "model")
    assert (load_model(tmp_path / "model").predict(data.X, NAMES) == risks).all()


@pytest.mark.parametrize("slice_name", ["train", "stop"])
def test_a_cause_that_a_slice_lacks_is_learned_from_both(slice_name: str) -> None:
    data = risk_world(150)
    span = getattr(BLOCK.slices[0], slice_name)
    lacks = data.outcome.copy()
    lacks[span.holds(data.cutoff)[:, None] & (lacks == 2)] = 0
    model = fitted(with_outcome(data, lacks))
    assert any("involuntary churn in periods 1 to 2" in note for note in model.notes)
    assert np.isfinite(model.predict(data.X, NAMES)).all()


@pytest.mark.parametrize("learner", [booster_learner(MODEL), logistic_learner()])
def test_empty_stop_and_calibrate_slices_are_noted_and_raise_nothing(learner: Learner) -> None:
    data = risk_world(100)
    slices = BLOCK.slices[0]
    unknown = data.outcome.copy()
    unknown[slices.stop.holds(data.cutoff) | slices.calibrate.holds(data.cutoff), 0] = UNKNOWN
    model = fit_risk_model("a", learner, with_outcome(data, unknown), BLOCK.slices, MODEL)
    assert "churn in periods 1 to 2 is not calibrated: no known outcome." in model.notes
    assert any("periods 1 to 2" in note and "base rate used" in note for note in model.notes)
    assert np.isfinite(model.predict(data.X, NAMES)).all()


def test_too_few_of_both_causes_get_the_base_rate(tmp_path: Path) -> None:
    data = risk_world(100)
    few = dataclasses.replace(MODEL, min_events=10_000)
    model = fitted(data, few)
    assert len(model.notes) == 7
    assert model.notes[-1].startswith("contraction: ")
    assert all("base rate used" in note for note in model.notes)
    risks = model.predict(data.X, NAMES)
    assert (risks == risks[0]).all()
    save_model(model, tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["model.json"]
    assert (load_model(tmp_path / "model").predict(data.X, NAMES) == risks).all()


def test_no_churn_at_all_is_refused_in_one_sentence() -> None:
    data = risk_world(50)
    with pytest.raises(BadInputError, match="no churn at all among the"):
        fitted(with_outcome(data, np.minimum(data.outcome, 0)))


def test_no_known_outcome_is_refused_in_one_sentence() -> None:
    data = risk_world(50)
    unknown = data.outcome.copy()
    unknown[:, 2] = UNKNOWN
    with pytest.raises(BadInputError, match="known outcome 6 periods later"):
        fitted(with_outcome(data, unknown))


def test_everyone_leaving_raises_nothing() -> None:
    data = risk_world(50)
    outcome = np.where(data.outcome == UNKNOWN, UNKNOWN, 1)
    # Someone must be left to learn the later intervals from.
    outcome[::7] = np.minimum(outcome[::7], 0)
    model = fitted(with_outcome(data, outcome))
    assert any("base rate used" in note for note in model.notes)
    assert model.predict(data.X, NAMES)[:, 0, 0].mean() > 0.7


# --- its input


def test_the_refit_reaches_the_newest_known_outcomes() -> None:
    refit = refit_block(0, LAST, SPLIT)
    data = risk_world(50)
    for interval, slices in enumerate(refit.slices):
        known = data.cutoff[data.outcome[:, interval] != UNKNOWN]
        assert slices.calibrate.last == known.max()
    assert refit.test is None
    assert isinstance(refit.slices[0].train, Span)


def test_arrays_that_do_not_fit_are_refused() -> None:
    data = risk_world(10)
    with pytest.raises(ValueError, match="float32 with 5 columns"):
        dataclasses.replace(data, X=data.X.astype(np.float64))
    with pytest.raises(ValueError, match="mrr has 3 rows"):
        dataclasses.replace(data, mrr=data.mrr[:3])
    assert len(data.take(np.array([4, 2]))) == 2
    assert data.take(np.array([4, 2])).cutoff.tolist() == [4, 2]
