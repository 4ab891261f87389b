"""What each family of models is made of: rows for what differs from transformers' conventions."""
