"""Programs of end users: what they need of Bonghwa is a feed key and its address."""
