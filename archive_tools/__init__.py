"""Tools for the archive: query, verify, reconcile, backfill, replay, export and report.

`flask archive` and the script `stripe-archive` are both `cli.archive`. The service never imports
this package; the tools use its record and archive code, so that what they write is the same.
"""
