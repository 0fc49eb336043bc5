"""Describe WHAT is crossed: layers, routes, physiology."""
