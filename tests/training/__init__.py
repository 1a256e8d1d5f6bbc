"""Tests of estimators in training."""
