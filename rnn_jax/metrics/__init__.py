"""Metrics as sums over real examples, divided once by whoever reports them; one file a kind."""
