"""The report card: what one estimator does, on problems of the card's own choosing."""
