"""Whether a plan came true: its arms, trained or read, against what was forecast."""

from bayeslaw.verify.arm import Arm, arms_of
from bayeslaw.verify.plan_file import PlanFile, read_plan
from bayeslaw.verify.verification import Verification, verify

__all__ = ["Arm", "PlanFile", "Verification", "arms_of", "read_plan", "verify"]
