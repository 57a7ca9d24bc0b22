"""The video experiment, small enough for tests."""

from experiment_runs import ExperimentRuns

from experiments import video

SMALL = ("--hidden_size=4", "--batch_size=8", "--num_epochs=2", "--log_every_steps=2", "--patch_size=8")
TINY = ("--train_split=train[:24]", "--validation_split=validation[:8]", "--test_split=test[:10]", *SMALL)
RUNS = ExperimentRuns(video, SMALL, TINY)
run_here, is_refused = RUNS.run_here, RUNS.is_refused

__all__ = ["RUNS", "SMALL", "TINY", "is_refused", "run_here"]
