"""A strict stand-in for Kiwoom's servers, for demos, drills and tests. Its prices are invented."""
