"""Put compound, barrier and dose together and run them."""
