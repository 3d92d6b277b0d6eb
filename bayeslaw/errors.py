"""The exceptions that a user's mistake can raise."""


class BayeslawError(Exception):
    """Something that the user can mend; the command line prints it without a traceback."""


class RunsError(BayeslawError):
    """Faults in a table of runs."""


class FitError(BayeslawError):
    """A fit that cannot be made, or must not be used."""


class PlanError(BayeslawError):
    """A plan that cannot be made."""


class SweepError(BayeslawError):
    """Faults in a sweep's settings, or a sweep that cannot go on."""


class TaskError(BayeslawError):
    """Faults in tasks, or in models that are to be judged by them."""
