"""The parts of experiments/benchmark.py: problems, peers, equivalence, timing, and what is reported."""
