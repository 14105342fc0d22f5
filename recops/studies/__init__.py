"""Studies: the same comparison over recipes, variants and training seeds, cell by cell."""
