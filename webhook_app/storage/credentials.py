"""AWS credentials for a delivery, without a delivery ever waiting for their renewal."""

import logging
import os
import random
import threading
import time

from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials

from .deadline import call_until

log = logging.getLogger(__name__)

#: Seconds between two looks at the credentials of a role: drawn anew each time, so that the workers
#: do not all ask the metadata service at the same moment. botocore renews them 15 minutes before
#: they expire; a session of 15 minutes is renewed at each look.
REFRESH_INTERVAL_S = (45.0, 75.0)


class CachedCredentials:
    """botocore's credentials; those of a role are renewed by a thread of each worker.

    botocore would renew them inside a delivery, which then waits for the metadata service: some
    milliseconds, or 8 s where a container's hangs.
    """

    def __init__(self, credentials: Credentials) -> None:
        """Start renewing in each process that is forked from here."""
        self._credentials = credentials
        self._cached: ReadOnlyCredentials | None = None
        if isinstance(credentials, RefreshableCredentials):
            os.register_at_fork(after_in_child=self._start)
        else:
            self._cached = credentials.get_frozen_credentials()

    def get(self, deadline: float) -> ReadOnlyCredentials:
        """Return what to sign with. It has expired only where renewing has failed for long.

        Raises:
            TimeoutError: there is none yet, and renewing did not end by the deadline.
        """
        frozen: ReadOnlyCredentials = self._cached or call_until(
            deadline, self._credentials.get_frozen_credentials
        )
        return frozen

    def _start(self) -> None:
        threading.Thread(target=self._refresh_forever, name="credentials", daemon=True).start()

    def _refresh_forever(self) -> None:
        while True:
            try:
                self._cached = self._credentials.get_frozen_credentials()
            except Exception:
                log.exception("AWS credentials could not be renewed")
            time.sleep(random.uniform(*REFRESH_INTERVAL_S))  # noqa: S311 # nosec B311 - no secret
