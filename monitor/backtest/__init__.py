"""The past judged again: rules over stored windows, recorded data replayed, and when a change began."""
