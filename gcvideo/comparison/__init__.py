"""Results of a comparison: paired differences and their significance, tables, plots and a report page."""

from gcvideo.comparison._report import write_report as write_report
from gcvideo.comparison._table import markdown_table as markdown_table
