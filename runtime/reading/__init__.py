"""What passes read of the running model: attention, keys, embeddings and states."""
