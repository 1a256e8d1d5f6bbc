"""Toy objectives f(z), one file each; what they must offer is in `base`."""
