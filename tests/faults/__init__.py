"""Faults of processes, storage, clocks and links: what was acknowledged is kept, once; how soon it works."""
