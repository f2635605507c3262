"""The normal form: what either tool would make, as plain data that can be compared.

A `World` holds the resources by what they are, in words of neither tool, every reference resolved.
"""

import base64
import json
import re
from typing import Any, TypedDict

ACCOUNT, REGION, PARTITION = "123456789012", "us-east-1", "aws"

Document = dict[str, Any]


class World(TypedDict):
    """Everything that one template or one plan would make."""

    bucket: Document
    stream: Document
    delivery_role: Document
    application_policy: Document
    log: Document
    topic: Document
    alarms: dict[str, Document]
    dashboard: Document
    database: Document
    table: Document
    view: Document
    workgroup: Document
    queries: dict[str, Document]
    environment: dict[str, str]


def statements(policy: Document | str) -> list[Document]:
    """Return the statements of a policy, each action and resource in a sorted list."""
    document = json.loads(policy) if isinstance(policy, str) else policy
    assert document["Version"] == "2012-10-17"
    return [
        {
            **statement,
            "Action": sorted(_listed(statement["Action"])),
            **(
                {"Resource": sorted(_listed(statement["Resource"]))}
                if "Resource" in statement
                else {}
            ),
        }
        for statement in _listed(document["Statement"])
    ]


def variables(output: str) -> dict[str, str]:
    """Return the lines NAME=value of an output as a mapping."""
    return dict(line.split("=", 1) for line in output.strip().splitlines())


def view(table: Document) -> Document:
    """Return a view with what its comment holds: its SQL, its schema and its columns."""
    original, expanded = table["view"]
    assert expanded == "/* Presto View */"
    found = re.fullmatch(r"/\* Presto View: ([A-Za-z0-9+/=]+) \*/", original)
    assert found, original
    return table | {"view": json.loads(base64.b64decode(found[1]))}


def without_nothing(document: Document) -> Document:
    """Return the document without what is None or empty."""
    return {
        name: value
        for name, value in document.items()
        if value not in (None, "", [], {}, (None, None))
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
