"""The engine: computes the cells of a plan, by Monte Carlo in shards or exactly, and records their moments."""
