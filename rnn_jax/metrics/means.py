"""Totals over weights."""


def mean_of(total: float, weight: float) -> float:
    """total / weight; the total itself, which is then 0, where nothing has weight."""
    return total / weight if weight else total
