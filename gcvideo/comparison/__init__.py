"""What a comparison shows: paired results and their significance, tables, plots and one page."""

from gcvideo.comparison._report import write_report as write_report
from gcvideo.comparison._table import markdown_table as markdown_table
