"""The training of checkpoints, in plain PyTorch."""
