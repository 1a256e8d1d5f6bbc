"""Score-function estimators: f(z) times ∂ log P(z), less a baseline."""
