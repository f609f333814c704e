"""Which videos: lists, folders, tables and the files that keep them."""
