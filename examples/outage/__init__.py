"""The outage of the seed report, for real: ``make demo-outage`` plays it against the running system."""
