"""The catalog that ``featurize`` wrote beside the features, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.contracts import CAUSES
from features.declare import CATALOG_FILE, from_json
from pipelines.paths import FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.declare import Feature


def load_catalog() -> tuple[Feature, ...]:
    """Read the features that the feature table holds, in the order of its columns."""
    return from_json((FEATURES / CATALOG_FILE).read_text(encoding="utf-8"))


def monotone_signs(catalog: Sequence[Feature]) -> dict[str, dict[str, int]]:
    """For each cause, the features whose sign is known beforehand, and the sign."""
    return {
        cause: {
            feature.name: sign
            for feature in catalog
            for named, sign in feature.monotone
            if named == cause
        }
        for cause in CAUSES
    }
