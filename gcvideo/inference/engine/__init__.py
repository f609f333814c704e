"""Programs that compute a net in place of PyTorch."""
