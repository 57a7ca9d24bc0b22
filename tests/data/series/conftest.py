"""Series that several tests share."""

import pytest
from data.series.made import hourly, whole


@pytest.fixture
def two_series():
    """Of 60 and 25 rows, with covariates."""
    return whole(
        hourly(60, "a", seed=1, past=1, future=2),
        hourly(25, "b", seed=2, past=1, future=2),
        bounds=[[0, 30, 45, 60], [0, 15, 20, 25]],
    )
