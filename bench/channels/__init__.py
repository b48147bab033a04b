"""The idiomatic Channels application that the benchmark compares with; it runs in its own environment."""
