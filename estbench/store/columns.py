"""The columns of results.csv, in their order."""

from __future__ import annotations

COLUMNS = """
problem distribution objective dimensions categories logits estimator options label temperature samples method
replicates status reason true_norm bias_squared bias_squared_low bias_squared_high bias_norm bias_norm_low
bias_norm_high relative_bias relative_bias_low relative_bias_high bias_p_value bias_verdict variance variance_low
variance_high mse mse_low mse_high cosine cosine_low cosine_high cosine_of_mean snr scaled_bias_squared
scaled_variance zero_fraction non_finite flags f_evaluations grad_evaluations seconds_per_estimate
work_normalised_variance
""".split()
