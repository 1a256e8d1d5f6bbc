"""Antithetic and coupled estimators: f at several negatively dependent samples, without ∇f or bias."""
