"""Labelled and unlabelled pictures from disk. Bad data is refused with the name of the file."""
