"""Where trials are kept, and the workers that share them."""
