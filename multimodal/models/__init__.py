"""Whole models: nn.Modules with the methods that people call; no training here."""
