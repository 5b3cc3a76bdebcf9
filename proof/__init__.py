"""What shows that nothing was lost: probes, a writer, watchers, and the report made of what they saw.

Used unchanged on the lab and on a real cluster: everything here speaks DNS, HTTP and the Kubernetes and
etcd APIs, and knows neither Pulumi nor the lab.
"""
