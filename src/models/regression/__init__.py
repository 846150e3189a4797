"""Networks that regress where a moment starts and ends: LGI and DRN."""
