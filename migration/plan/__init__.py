"""What the next `up` would do: looked at with clients that only read, every part within its time, told as text."""

from migration.plan.observe import at_stage, plan, plan_of
from migration.plan.text import lines

__all__ = ["at_stage", "lines", "plan", "plan_of"]
