"""The Krogh cylinder by networks: rings around a vessel, in modes along it."""
