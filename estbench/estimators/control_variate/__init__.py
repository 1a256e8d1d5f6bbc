"""Control variates: an unbiased estimate, less a correlated number of known mean; the coefficients are fitted first."""
