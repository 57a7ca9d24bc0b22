"""Looking at models: many at once, how far gradients reach, what gates do."""

from rnn_jax.analysis.ensembles import ensemble
from rnn_jax.analysis.gates import gate_values
from rnn_jax.analysis.gradient_flow import gradient_by_distance, gradient_norms

__all__ = ["ensemble", "gate_values", "gradient_by_distance", "gradient_norms"]
