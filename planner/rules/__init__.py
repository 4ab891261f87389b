"""What is known of two passes in one plan, or of one and the workload: conflicts as data."""
