"""A cluster with nothing around it: real control plane, KWOK's nodes, loopback only. No AWS, no machines, no VPCs."""
