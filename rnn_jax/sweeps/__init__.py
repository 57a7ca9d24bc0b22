"""Ablation sweeps: rows of overrides, run anywhere, compared honestly. Start with `experiments/sweep.py`."""
