"""What may be written and printed: addresses without their credentials, text that a terminal only shows."""
