"""Proofs on the whole product, by real faults: ``make prove-faults``, ``prove-outages``, ``soak``."""
