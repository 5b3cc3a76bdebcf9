"""The ingress Service's traffic policy: what to do next (`plan`), and the objects it is done to (`service`)."""
