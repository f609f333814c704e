"""What a comparison has shown, for people: tables, plots and one page."""

from gcvideo.report.folder import write_report as write_report
from gcvideo.report.table import markdown_table as markdown_table
