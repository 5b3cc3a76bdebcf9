"""The configuration of a stack: its shape, its rules, and how it is loaded."""

from migration.settings.errors import ConfigurationError, Problem
from migration.settings.load import Settings, load, load_file

__all__ = ["ConfigurationError", "Problem", "Settings", "load", "load_file"]
