"""The sentiment experiment, small enough for tests."""

from experiment_runs import ExperimentRuns, lines_of, metrics_of

from experiments import sentiment

SMALL = (
    "--embedding_size=8",
    "--hidden_size=8",
    "--batch_size=32",
    "--num_buckets=2",
    "--num_epochs=2",
    "--log_every_steps=3",
)
TINY = ("--train_split=train[:320]", "--validation_split=validation[:64]", "--test_split=test[:64]", *SMALL)
NO_LOSS_IS_LOW_ENOUGH = 1e-6  # as --divergence_factor: diverged at the first update, however a processor rounds
RUNS = ExperimentRuns(sentiment, SMALL, TINY)
run_here, is_refused, start, run, saved_state = RUNS.run_here, RUNS.is_refused, RUNS.start, RUNS.run, RUNS.saved_state

__all__ = [
    "NO_LOSS_IS_LOW_ENOUGH",
    "RUNS",
    "SMALL",
    "TINY",
    "is_refused",
    "lines_of",
    "metrics_of",
    "run",
    "run_here",
    "saved_state",
    "start",
]
