"""Where in the program a resource is declared, which nobody looks up in a state, isn't kept there.

The SDK sends a stack of some twenty frames with each registration, and the engine keeps it: a sixth of the state of 72
groups, written anew at each step. Collecting it reads the program's sources, too. There is no setting for it, so the
SDK's function that collects it is replaced, where this version has it.
"""

from __future__ import annotations

import importlib

from pulumi.runtime.proto import source_pb2

COLLECTS = "_get_stack_trace"


def untraced() -> bool:
    """From now on no stack is collected; False where the SDK has no such function any more."""
    # By its name: the package has a function that is called as this module is.
    module = importlib.import_module("pulumi.runtime.resource")
    if not hasattr(module, COLLECTS):
        return False
    setattr(module, COLLECTS, source_pb2.StackTrace)
    return True
