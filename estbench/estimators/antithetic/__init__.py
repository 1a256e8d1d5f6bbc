"""Antithetic and coupled estimators: f at several samples that lean away from each other, without ∇f or bias."""
