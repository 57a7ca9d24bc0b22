"""A run with a cell of somebody's own: whoever loads it says which class it is."""

from sentiment_runs import TINY, run_here

from experiments import load
from rnn_jax.cells import GRU


def test_each_directory_has_the_class_that_its_caller_gave(tmp_path):
    """Two directories name the same string, and may mean different classes by it."""
    name = "rnn_jax.cells.gru:GRU"
    for directory in ("one", "other"):
        run_here(*TINY, "--num_steps=1", f"--cell={name}", f"--workdir={tmp_path / directory}")
    made = []

    def first(**knobs):
        made.append("first")
        return GRU(**knobs)

    def second(**knobs):
        made.append("second")
        return GRU(**knobs)

    load(tmp_path / "one", cell=first)
    assert set(made) == {"first"}
    made.clear()
    load(tmp_path / "other", cell={name: second})
    assert set(made) == {"second"}
    made.clear()
    load(tmp_path / "one")  # the class that --cell has had imported
    assert made == []
