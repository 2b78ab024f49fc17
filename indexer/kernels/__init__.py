"""The loops of the exact index, compiled by numba: no lock of the interpreter held, kernels cached on disk.

A kernel allocates nothing: it writes into arrays that its caller made.

Where compiled kernels are cached is numba's to know (``NUMBA_CACHE_DIR``); whoever starts the process sets it.
"""
