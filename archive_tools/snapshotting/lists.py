"""The lists of Stripe's API that a snapshot has, page by page, with what has to be said of them.

Knows paths and parameters, and no archive.
"""

import http.client
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from ..reconciling.listing import Window
from ..reconciling.pages import Listed, Page, StripeObject, decoder, with_items
from ..reconciling.stripe_api import RefusedError, StripeApi

BALANCE_TRANSACTIONS = "balance_transactions"

#: By the names that `--only` takes, each with the lists that make it up. Stripe documents that the
#: list of prices has the active ones unless it is asked for the others.
#: https://docs.stripe.com/api/prices/list
LISTS: dict[str, tuple[str, ...]] = {
    "customers": ("/v1/customers",),
    "products": ("/v1/products",),
    "prices": ("/v1/prices?active=true", "/v1/prices?active=false"),
    "coupons": ("/v1/coupons",),
    "subscriptions": ("/v1/subscriptions?status=all",),
    BALANCE_TRANSACTIONS: ("/v1/balance_transactions",),
}

_decode = decoder(StripeObject)


@dataclass
class ObjectList:
    """One list; several threads may fetch its pages at once."""

    api: StripeApi
    address: str
    """Path, and parameters that every request has."""
    cut: list[str] = field(default_factory=list)
    """Ids of the objects whose items could not be completed."""

    @property
    def path(self) -> str:
        """The path alone."""
        return self.address.partition("?")[0]

    def fetch(self, window: Window) -> Page[StripeObject]:
        """Return the next page of a range of time.

        Raises:
            RefusedError: Stripe refused; with status 403, the key may not read the list.
            ToolError: it did not answer after several attempts.
        """
        try:
            page = self._page(window, window.after)
        except RefusedError as refused:
            gone = refused.status in (http.client.BAD_REQUEST, http.client.NOT_FOUND)
            if window.after is None or not gone:
                raise
            # the object was deleted since, and its second is listed again
            page = self._page(window, None)
        return page._replace(items=[self._completed(one) for one in page.items])

    def _page(self, window: Window, after: str | None) -> Page[StripeObject]:
        path, _, query = self.address.partition("?")
        besides = parse_qsl(query)
        return self.api.objects(path, _decode, window.first, window.last, after, besides)

    def _completed(self, one: Listed[StripeObject]) -> Listed[StripeObject]:
        """Return a subscription with all of its items: Stripe embeds the first ten in a list."""
        columns = one.columns
        if columns.object != "subscription" or not (columns.items and columns.items.has_more):
            return one
        try:
            items = self.api.subscription_items(columns.id)
        except RefusedError as refused:
            if refused.status == http.client.UNAUTHORIZED:
                raise
            self.cut.append(columns.id)
            return one
        url = f"/v1/subscription_items?subscription={columns.id}"
        return one._replace(payload=with_items(one.payload, items, url))


def remaining(first: int, last: int, done: Iterable[tuple[int, int]]) -> list[Window]:
    """Return what ranges of Unix seconds leave of another one; all ends are included."""
    left, start = [], first
    for begin, end in sorted(done):
        if start < begin:
            left.append(Window(start, min(begin - 1, last)))
        start = max(start, end + 1)
    return [*left, Window(start, last)] if start <= last else left
