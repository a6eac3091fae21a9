"""Programs that are watched from within; each is run by a test."""
