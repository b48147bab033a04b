"""Drills: the cause of an outage replayed on a session of its own, against a simulator on loopback."""
