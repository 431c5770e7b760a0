"""Feature settings of a business. Imports nothing heavy, as every stage reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from data.errors import BadInputError


@dataclass(frozen=True)
class FeatureSettings:
    """Feature settings of a business.

    Parameters
    ----------
    windows
        Lengths of the windows in periods, ascending, at least two. The second is the recent past
        (``short``), the last but one the span of trends (``trend``), the last the span of the
        customer's own norm (``long``).
    core_features
        Values of ``usage.feature`` that mark adoption; at most 16.

    Raises
    ------
    BadInputError
        If the windows do not ascend from 1 or more, or the core features repeat or are too many.
    """

    windows: tuple[int, ...] = (1, 4, 13, 26)
    core_features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ascend = all(a < b for a, b in zip(self.windows, self.windows[1:], strict=False))
        if len(self.windows) < 2 or not ascend or self.windows[0] < 1:
            raise BadInputError(
                "featurize.windows must be at least two whole numbers that ascend from 1 or more, "
                f"e.g. [1, 4, 13, 26], but is {list(self.windows)}."
            )
        names = {column_name(feature) for feature in self.core_features}
        if len(names) < len(self.core_features) or "" in names or len(names) > 16:
            raise BadInputError(
                "featurize.core_features must be at most 16 names that differ in their letters "
                f"and digits, but is {list(self.core_features)}."
            )

    @property
    def short(self) -> int:
        """Length of the recent past, in periods."""
        return self.windows[min(1, len(self.windows) - 2)]

    @property
    def trend(self) -> int:
        """Length in periods over which slopes and volatility are computed."""
        return self.windows[-2] if len(self.windows) > 2 else self.windows[-1]

    @property
    def long(self) -> int:
        """Length in periods from which the customer's own norm is computed."""
        return self.windows[-1]

    def role(self, name: str) -> tuple[int, ...]:
        """Return the windows of a role: ``each``, ``short``, ``trend``, ``long`` or ``wide``.

        ``wide`` is the short window and all longer ones.
        """
        if name == "each":
            return self.windows
        if name == "wide":
            return tuple(w for w in self.windows if w >= self.short)
        return (int(getattr(self, name)),)


def column_name(text: str) -> str:
    """Turn a text into a column name: lower-case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
