"""Training data: clips, the shards they are kept in, and what is read from them."""
