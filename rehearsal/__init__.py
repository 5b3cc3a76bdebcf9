"""The whole migration on the lab, with the real engine, and the proof that nothing was lost on the way."""
