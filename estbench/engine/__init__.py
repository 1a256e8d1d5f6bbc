"""The engine: feeds draws to estimators, in Monte Carlo shards or exactly, and keeps moments."""
