"""Competing churn risks: split, estimators, calibration, metrics, backtest, explanations."""

import os

# Read once, when OpenMP is loaded: threads that spin while they wait make LightGBM many times
# slower on a machine whose cores are shared. A user's own setting stands.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
