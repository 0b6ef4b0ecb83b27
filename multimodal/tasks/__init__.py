"""LightningModules, one per objective: a loss, metrics, an optimizer. They open no file and name no device."""
