"""Networks in training: by the exact gradient or by an estimator, and every estimator's gradient along the way."""
