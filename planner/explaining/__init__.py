"""Why a plan is as it is: evidence, ablation, and the difference between two plans."""
