"""Services of type LoadBalancer, whose balancers the cloud controller makes and fills."""
