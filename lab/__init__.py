"""The rehearsal: AWS, DNS, load balancers and a real Kubernetes control plane on one machine.

Nothing heavy is imported here: `python -m lab env` and `python -m lab setup` run before anything is
installed.
"""
