"""`make layouts`: the whole migration for every form of control plane, each with both ways for etcd's data; a row each.

`make rehearse LAYOUT=… ETCD=…` is one of them.
"""

from __future__ import annotations

from typing import get_args

from lab.layouts import LAYOUTS
from migration.settings.model import Strategy
from rehearsal.forms import Form

FILE = "layouts.json"
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
FORMS = tuple(Form(layout=layout, etcd=etcd) for layout in LAYOUTS for etcd in STRATEGIES)


def parse_forms(text: str) -> tuple[Form, ...]:
    """``kubeadm/volume,custom/learner`` → those; empty → all. Raises `ValueError` with a sentence."""
    if not text:
        return FORMS
    named = {f"{form.layout}/{form.etcd}": form for form in FORMS}
    unknown = [word for word in text.split(",") if word not in named]
    if unknown:
        raise ValueError(f"no form of control plane is called {', '.join(unknown)}; there are {', '.join(named)}")
    return tuple(named[word] for word in text.split(","))
