"""A progress bar on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(total: int, shown: bool | None, unit: str) -> Iterator[Callable[[int], object] | None]:
    """Yields a function that reports how many of `total` are done, if a bar is to be shown."""
    if not shown:
        yield None
        return
    with tqdm(total=total, unit=f" {unit}", file=sys.stderr) as bar:

        def tell(done: int) -> None:
            bar.update(done - bar.n)

        yield tell
        tell(total)
