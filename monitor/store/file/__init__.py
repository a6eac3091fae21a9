"""The SQLite file itself: folder, connection, schema, and the one thread that writes."""
