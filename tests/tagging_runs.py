"""The tagging experiment, small enough for tests."""

from experiment_runs import ExperimentRuns, lines_of, metrics_of

from experiments import tagging

SMALL = (
    "--embedding_size=8",
    "--character_embedding_size=4",
    "--character_size=6",
    "--max_characters=8",
    "--hidden_size=8",
    "--tokens_per_batch=400",
    "--num_buckets=2",
    "--num_epochs=2",
    "--log_every_steps=3",
)
TINY = ("--train_split=train[:240]", "--validation_split=validation[:48]", "--test_split=test[:48]", *SMALL)
RUNS = ExperimentRuns(tagging, SMALL, TINY)
run_here, is_refused, start, run, saved_state = RUNS.run_here, RUNS.is_refused, RUNS.start, RUNS.run, RUNS.saved_state

__all__ = ["RUNS", "SMALL", "TINY", "is_refused", "lines_of", "metrics_of", "run", "run_here", "saved_state", "start"]
