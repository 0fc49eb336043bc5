"""Describe WHAT arrives: doses and the free concentration in plasma."""
