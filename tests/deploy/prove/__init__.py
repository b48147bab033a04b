"""Proofs on the deployment of compose.yaml: ``make prove-fleet``."""
