"""Speed, memory and the model beside published data: ``make bench``."""
