"""The report: one page for a reader with five minutes, from a posterior and its plans."""

from bayeslaw.report.document import Report, report

__all__ = ["Report", "report"]
