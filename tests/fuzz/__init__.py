"""What is open to others, fuzzed: the API, the feed's socket, and the import of reports (``make fuzz``)."""
