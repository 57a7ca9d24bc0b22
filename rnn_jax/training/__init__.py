"""What every experiment's training shares: optimizer, steps, checkpoints, run directory, progress."""

from rnn_jax.errors import require

require("rnn_jax.training", "Optax, Orbax and more", "experiments", "optax", "orbax")
