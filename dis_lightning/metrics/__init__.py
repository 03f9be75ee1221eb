"""Measures of samples that torchmetrics lacks."""

from dis_lightning.metrics.chains import AcceptanceMeter, ChainDiagnostics, diagnose

__all__ = ["AcceptanceMeter", "ChainDiagnostics", "diagnose"]
