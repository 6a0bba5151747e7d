"""Settings of all tests."""

from hypothesis import settings

# A busy machine is slow; that is no fault of the code under test.
settings.register_profile("any-machine", deadline=None, print_blob=True)
settings.load_profile("any-machine")
