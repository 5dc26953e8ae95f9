"""Training: one loop, its data on the way to the model, its checkpoints, and what each stage starts from."""
