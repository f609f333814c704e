"""From videos to batches: sampling, protocols, transforms, data sets and loaders."""
