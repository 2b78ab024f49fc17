"""Do masks help codes? The paper's claim, arm against arm: ``python -m benchmarks.claim --help``."""
