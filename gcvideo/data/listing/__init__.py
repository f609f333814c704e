"""The videos of a data set: lists, folders, tables and the files that keep them."""
