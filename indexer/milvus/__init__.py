"""Galleries beyond one machine: codes in Milvus, written by one applier, searched by every replica."""
