"""A Playroom as small as tests can do with."""

SMALL = {"train": 7, "val": 1, "test_iid": 1, "test_ood": 1, "novel_composition": 1, "novel_word": 1}
OVERRIDES = [f"size.{split}={count}" for split, count in SMALL.items()]
