"""Every hashing method on the same trunk features, split and bits: ``python -m benchmarks.methods --help``."""
