"""Estimators that learn: what the voxels of a scan have in common, and networks that know it.

``prior`` and ``dictionary`` are the exact side (a mixture prior learned from the scan on a grid of tissues); ``encoder`` and
``training`` the fast side. The estimators themselves are in ``krogh.fexi.estimators``.
"""
