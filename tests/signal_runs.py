"""The signals experiment, small enough for tests."""

from experiment_runs import ExperimentRuns

from experiments import signals

SMALL = ("--hidden_size=8", "--batch_size=32", "--num_buckets=1", "--num_epochs=2", "--log_every_steps=3")
TINY = ("--train_split=train[:192]", "--validation_split=validation[:64]", "--test_split=test[:64]", *SMALL)
RUNS = ExperimentRuns(signals, SMALL, TINY)
run_here, is_refused = RUNS.run_here, RUNS.is_refused

__all__ = ["RUNS", "SMALL", "TINY", "is_refused", "run_here"]
