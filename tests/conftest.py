"""What all tests share: settings of this machine."""

import hypothesis

# No test depends on how busy the machine is.
hypothesis.settings.register_profile("without a deadline", deadline=None)
hypothesis.settings.load_profile("without a deadline")
