"""The forms a control plane has, one adapter each: see `migration.layouts.contract` and docs/control-plane.md."""
