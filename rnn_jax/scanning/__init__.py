"""From one time step to a sequence: `scan_cell`, how it is computed, and where it starts."""

from rnn_jax.cells.contract import output_size
from rnn_jax.scanning.backend import Backend, as_backend
from rnn_jax.scanning.scan import scan_cell

__all__ = ["Backend", "as_backend", "output_size", "scan_cell"]
