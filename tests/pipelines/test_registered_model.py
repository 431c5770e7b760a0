"""The registered model elsewhere, in a clean environment and on Spark: always the same scores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from worlds.project import SMALL, STAGES, Project

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

ALONE = """
import sys
import mlflow
import pandas as pd
features = pd.read_parquet(sys.argv[2]).set_index("customer_id")
model = mlflow.pyfunc.load_model(sys.argv[1])
model.predict(features).to_parquet(sys.argv[3])
rows = model.predict(features.head(20), params={"reasons": 2})
assert rows["reason_voluntary_1"].str.contains(": ").all(), rows
"""

ON_SPARK = """
import sys
import mlflow
import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import struct
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .getOrCreate()
)
risks = [output.name for output in mlflow.models.Model.load(sys.argv[1]).signature.outputs]
features = spark.read.parquet(sys.argv[2])
names = [name for name in features.columns if name != "customer_id"]
score = mlflow.pyfunc.spark_udf(
    spark, sys.argv[1], ", ".join(f"{name} double" for name in risks), env_manager="local"
)
scored = features.select("customer_id", score(struct(*names)).alias("risk"))
scored.select("customer_id", "risk.*").toPandas().set_index("customer_id").to_parquet(sys.argv[3])
spark.stop()
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A published project, with today's features in a file as any other system would have them."""
    project = Project(tmp_path_factory.mktemp("served"), SMALL)
    project.run(*STAGES)
    features = pd.read_parquet(project / "data/features/features.parquet")
    newest = features[features["cutoff"] == features["cutoff"].max()].drop(columns="cutoff")
    names = newest.columns.drop("customer_id")
    newest.astype(dict.fromkeys(names, np.float64)).to_parquet(project / "now.parquet", index=False)
    return project


@pytest.fixture(scope="module")
def model(done: Project) -> Path:
    """The registered model, as a folder outside of the project."""
    import mlflow  # noqa: PLC0415

    mlflow.set_tracking_uri(f"sqlite:///{done.folder / 'mlflow.db'}")
    target = done / "elsewhere"
    target.mkdir()
    folder = mlflow.artifacts.download_artifacts(
        "models:/churn-risk-simulated@challenger", dst_path=str(target)
    )
    return Path(folder)


def scores(python: Path | str, script: str, model: Path, done: Project) -> pd.DataFrame:
    """Let a script score today's customers in another process, independent of this one."""
    out = done / "elsewhere/scores.parquet"
    alien = ("PYTHON", "MLFLOW_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(alien)}
    ran = subprocess.run(  # noqa: S603 - the command is ours
        [str(python), "-c", script, str(model), str(done / "now.parquet"), str(out)],
        cwd=done / "elsewhere",
        env=kept
        | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        | {"PYSPARK_PYTHON": str(python), "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return pd.read_parquet(out)


def assert_scores_of_the_list(scored: pd.DataFrame, done: Project) -> None:
    """Every risk equals the one that was handed out, bit for bit."""
    served = pd.read_parquet(done / "data/scores/scores.parquet").set_index("customer_id")
    assert len(scored) == len(served) > 300
    assert len(scored.columns) == 7
    for column in scored:
        handed_out = served.loc[scored.index, column].to_numpy()
        assert np.array_equal(scored[column].to_numpy(), handed_out), column


def test_a_clean_environment_of_its_own_requirements_gives_the_scores_of_the_list(
    done: Project, model: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path)], check=True)  # noqa: S603
    python = tmp_path / "bin/python"
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    requirements = ("--requirement", str(model / "requirements.txt"))
    subprocess.run([str(python), *install, *requirements], check=True)  # noqa: S603
    assert_scores_of_the_list(scores(python, ALONE, model, done), done)


def test_the_model_holds_text_and_no_pickle(done: Project, model: Path) -> None:
    files = [path for path in model.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in {".pkl", ".pickle", ".joblib"}]
    texts = [path for path in files if path.suffix in {".txt", ".json", ".py", ".yaml", ""}]
    assert len(list(model.rglob("model_*.txt"))) == 7
    requirements = (model / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in requirements)
    # Boosters are LightGBM's own text.
    booster = next(path for path in texts if path.name == "model_voluntary_4w.txt")
    assert booster.read_text().startswith("tree\nversion=")


def test_spark_gives_the_scores_of_the_list(done: Project, model: Path) -> None:
    assert_scores_of_the_list(scores(sys.executable, ON_SPARK, model, done), done)
