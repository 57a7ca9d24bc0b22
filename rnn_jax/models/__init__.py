"""Networks: Flax NNX modules of embeddings, a stack of ours and an output; they know nothing of training.

The modules named `…_config` hold knobs and are imported without JAX.
"""

from rnn_jax.errors import require

require("rnn_jax.models", "Flax and more", "experiments", "flax")
