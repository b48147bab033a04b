"""What the feed can carry, measured beside other ways to do the same: ``make bench``."""
