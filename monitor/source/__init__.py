"""Where counts come from: a journal, and whatever else can hand over counts and say how far it came."""
