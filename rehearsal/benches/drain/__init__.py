"""How fast a drain is: this project's, kubectl's, and the floor below both, on one cluster and in one run.

`python -m rehearsal.benches.drain`, or `make bench-drain`. It writes `.lab/report/drain.json` and `drain.svg`.
"""
