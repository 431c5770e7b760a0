"""The registered model as MLflow loads it: code and LightGBM's text files, without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModelContext  # at run time too: MLflow reads the type hints

from data.contracts import CAUSES
from features.declare import from_json
from models.boosters import load_model
from models.explain import explain
from retention.reasons import explanations


class ChurnRisk(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Computes calibrated risks from features, and reasons on request."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model's folder and the catalog of its features."""
        self._model = load_model(Path(context.artifacts["model"]))
        catalog = from_json(Path(context.artifacts["catalog"]).read_text(encoding="utf-8"))
        self._model.require_features(tuple(feature.name for feature in catalog))
        self._catalog = catalog

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Risks if nobody acts, one row per row of features.

        Parameters
        ----------
        context
            Where MLflow keeps the model.
        model_input
            Features by name, in any order of columns.
        params
            ``reasons``: number of groups of features to name for each cause, 0 by default (they
            cost about 190 predictions per row); ``currency``: ISO 4217 code of amounts in them, by
            default that of the training.

        Returns
        -------
        DataFrame
            ``risk_<cause>_<horizon>``: cumulative risk in [0, 1], and
            ``risk_contraction_<last horizon>``: risk of staying and paying less. With reasons also
            ``reason_<cause>_<number>``: what raises the risk at the first horizon, strongest
            first, in plain words; null if nothing else raises it.
        """
        names = self._model.feature_names
        X = model_input[list(names)].to_numpy(np.float32)
        risks = self._model.predict(X, names)
        columns: dict[str, Any] = {
            f"risk_{cause}_{label}": risks[:, position, horizon]
            for position, cause in enumerate(CAUSES)
            for horizon, label in enumerate(self._model.labels)
        }
        columns[f"risk_contraction_{self._model.labels[-1]}"] = self._model.contraction_risk(
            X, risks
        )
        asked = params or {}
        count = int(asked.get("reasons", 0))
        for cause in CAUSES if count > 0 else ():
            base, contributions = explain(self._model, X, names, cause)
            found = explanations(base, contributions, X, self._catalog, count, asked["currency"])
            for number in range(count):
                columns[f"reason_{cause}_{number + 1}"] = [
                    one.raising[number].text if number < len(one.raising) else None for one in found
                ]
        return pd.DataFrame(columns, index=model_input.index)


mlflow.models.set_model(ChurnRisk())
