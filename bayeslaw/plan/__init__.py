"""The decision: arrangements, risks, the optimiser, and the plan that comes of them."""

from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.candidate import Candidate
from bayeslaw.plan.plan import Plan, plan
from bayeslaw.plan.risk import RISKS, Risk, parse_risk

__all__ = ["ARRANGEMENTS", "RISKS", "Candidate", "Plan", "Risk", "parse_risk", "plan"]
