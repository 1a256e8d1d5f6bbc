"""Results as tables for the terminal, and as text for other programs. Nothing is computed here."""
