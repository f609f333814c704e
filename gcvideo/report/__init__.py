"""What a user sees after a training, a test or a comparison: one page, tables and figures."""

from gcvideo.report._comparison_report import write_comparison_report as write_comparison_report
from gcvideo.report._figure import FORMATS as FORMATS
from gcvideo.report._run_report import write_run_report as write_run_report
from gcvideo.report._run_result import RunResult as RunResult
