"""Where trials and what single passes lose are kept, and the workers that share them."""
