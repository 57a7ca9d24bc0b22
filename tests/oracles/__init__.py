"""Independent references for the tests: slow, explicit, and written without the code they check."""
