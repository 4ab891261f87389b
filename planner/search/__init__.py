"""Which passes, where and how much: the space, the solver on the cost model, the search on the live model."""
