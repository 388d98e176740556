"""The training of nano, in plain PyTorch (1.13 on a CPU is enough)."""
