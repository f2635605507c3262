"""The documents, held against what there is."""
