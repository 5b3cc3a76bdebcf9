"""The lab's tools: where each comes from, at which version, and how to get it."""
