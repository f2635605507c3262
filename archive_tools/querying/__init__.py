"""SQL of Athena's dialect on an archive, by DuckDB or Athena: what `query` and `export` need."""

from ..errors import ToolError


def not_installed(missing: ModuleNotFoundError) -> ToolError:
    """Return the error for a package that the service itself does not need."""
    return ToolError(
        f"{missing.name} is not installed",
        "`make tools`, or `pip install --require-hashes -r requirements/tools.txt`",
    )
