"""What all tests share: settings of this machine, and the order of the files."""

import hypothesis
import pytest

# Each file is run by one process. The longest come first, so that at the end none runs alone.
LONGEST = ("test_slurm", "test_plain", "test_parity", "test_gpu", "test_kills", "test_recipe")

# No test depends on how busy the machine is. A property that states no number has 40 examples.
hypothesis.settings.register_profile("ours", deadline=None, max_examples=40)
hypothesis.settings.load_profile("ours")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))
