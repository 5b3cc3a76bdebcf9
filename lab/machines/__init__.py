"""Machines: what the lab's Auto Scaling groups launch becomes real processes and nodes."""
