"""Objects as Stripe's API lists them: what `snapshot` is made of."""
