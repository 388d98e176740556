"""World 2: many characters and voices, the paper's picture, prompts. It builds on `world`."""
