"""The registered model, as MLflow loads it: code and LightGBM's text files, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd

from data.contracts import CAUSES
from models.boosters import load_model

if TYPE_CHECKING:
    from mlflow.pyfunc import PythonModelContext


class ChurnRisk(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Features in, calibrated risks out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model's folder."""
        self._model = load_model(Path(context.artifacts["model"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Risks if nobody acts, a row for each row of features.

        Parameters
        ----------
        context
            Where MLflow keeps the model.
        model_input
            Features by name, in any order of columns.
        params
            None are known.

        Returns
        -------
        DataFrame
            ``risk_<cause>_<horizon>``: cumulative risk in [0, 1].
        """
        names = self._model.feature_names
        risks = self._model.predict(model_input[list(names)].to_numpy(np.float32), names)
        columns = {
            f"risk_{cause}_{label}": risks[:, position, horizon]
            for position, cause in enumerate(CAUSES)
            for horizon, label in enumerate(self._model.labels)
        }
        return pd.DataFrame(columns, index=model_input.index)


mlflow.models.set_model(ChurnRisk())
