"""The sequence-to-sequence experiment, small enough for tests."""

from experiment_runs import ExperimentRuns, lines_of, metrics_of

from experiments import seq2seq

SMALL = (
    "--cell=lstm",
    "--embedding_size=8",
    "--hidden_size=8",
    "--vocabulary_size=300",
    "--tokens_per_batch=600",
    "--num_buckets=2",
    "--num_epochs=2",
    "--log_every_steps=3",
    "--max_length_ratio=1",
    "--max_tokens=16",  # sources of one length to compile
    "--beam_size=2",
)
TINY = ("--train_split=train[:240]", "--validation_split=validation[:16]", "--test_split=test[:16]", *SMALL)
RUNS = ExperimentRuns(seq2seq, SMALL, TINY)
run_here, is_refused, start, run, saved_state = RUNS.run_here, RUNS.is_refused, RUNS.start, RUNS.run, RUNS.saved_state

__all__ = ["RUNS", "SMALL", "TINY", "is_refused", "lines_of", "metrics_of", "run", "run_here", "saved_state", "start"]
