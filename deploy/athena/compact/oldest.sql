-- When was the oldest of the events made that have arrived on some days?
-- `flask archive compact` runs this before it merges them, with the query of stripe_events.sql over
-- these days in the place of arrivals_replace_me. NULL: there is no event.
SELECT min(least(
  coalesce(created_at, TIMESTAMP '1970-01-01 00:00:00.000'),
  coalesce(received_at, TIMESTAMP '1970-01-01 00:00:00.000'))) AS oldest
FROM (arrivals_replace_me)
