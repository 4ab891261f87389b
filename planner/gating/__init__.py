"""Whether a plan holds its budget: predicted, measured, or against a baseline."""
