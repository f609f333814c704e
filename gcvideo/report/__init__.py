"""What a user sees after a training or a test: one page, tables and figures."""

from gcvideo.report._figure import FORMATS as FORMATS
from gcvideo.report._report import write_run_report as write_run_report
from gcvideo.report._run import RunResult as RunResult
