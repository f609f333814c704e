"""Results of a comparison: paired differences and their significance, outcome in words, tables."""

from gcvideo.comparison._results import Comparison as Comparison
from gcvideo.comparison._table import markdown_table as markdown_table
