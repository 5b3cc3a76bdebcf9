"""Load balancers as they are, and what their copies are made of."""
