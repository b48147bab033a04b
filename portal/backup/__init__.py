"""One file that carries what Bonghwa knows from one database to another, SQLite or PostgreSQL.

It is a zip: a part of JSON lines for each table, ``manifest.json`` with the count and checksum of each, and
``signature.json``, which vouches for the manifest.
"""
