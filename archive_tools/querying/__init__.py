"""SQL of Athena's dialect on an archive, by DuckDB or Athena: what `query` and `export` need."""
