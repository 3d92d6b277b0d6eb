"""The decision: arrangements, risks, the optimiser, and the plan that comes of them."""

from bayeslaw.plan.architecture import Architecture, read_architectures
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.candidate import Candidate
from bayeslaw.plan.devices import Hardware, find_device
from bayeslaw.plan.frontier import Frontier, frontier
from bayeslaw.plan.inverse import reach
from bayeslaw.plan.own import evaluate_plan
from bayeslaw.plan.pareto import Front, pareto
from bayeslaw.plan.plan import Plan, plan
from bayeslaw.plan.pool import NextRun
from bayeslaw.plan.risk import RISKS, Risk, parse_risk
from bayeslaw.plan.suggest import Suggestion, suggest

__all__ = [
    "ARRANGEMENTS", "RISKS", "Architecture", "Candidate", "Front", "Frontier", "Hardware",
    "NextRun", "Plan", "Risk", "Suggestion", "evaluate_plan", "find_device", "frontier", "pareto",
    "parse_risk", "plan", "reach", "read_architectures", "suggest",
]  # fmt: skip
