"""Stripe's events beside the archive's: what `reconcile` and `backfill` are made of."""
