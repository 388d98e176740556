"""'Show and tell': a seeded, procedural world of conversations to train and to evaluate on."""
