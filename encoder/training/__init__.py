"""Training: recipes, the two phases of the paper and its baseline, resumable and deterministic."""
