import gc

import pytest

from recops.imports import importing


def test_garbage_is_collected_again_after_an_import_and_after_one_that_fails() -> None:
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_who_collects_no_garbage_does_not_after_an_import_either() -> None:
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
