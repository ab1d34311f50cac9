"""Groups of settings: validation, YAML files, overrides."""
