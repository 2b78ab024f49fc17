"""Benchmarks of workers: real videos through Celery and Redis, against the bare network."""
