from itertools import count

from trl.trainer.utils import RepeatSampler

from recops.train.resumed_sampler import ResumedSampler


def _sampler(epochs_trained: int) -> ResumedSampler:
    theirs = RepeatSampler(range(9), mini_repeat_count=2, batch_size=3, repeat_count=2, seed=5)
    return ResumedSampler(theirs, lambda: epochs_trained)


def test_a_resumed_training_draws_the_epochs_that_an_uninterrupted_one_draws() -> None:
    whole = _sampler(0)
    epochs = [list(whole) for _ in range(4)]
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert len(whole) == len(epochs[0])
    for done in range(4):
        resumed = _sampler(done)
        assert [list(resumed) for _ in range(4 - done)] == epochs[done:]


def test_epochs_are_asked_for_once() -> None:
    asked = count()
    theirs = RepeatSampler(range(4), mini_repeat_count=1, seed=5)
    sampler = ResumedSampler(theirs, lambda: next(asked))
    whole = _only(RepeatSampler(range(4), mini_repeat_count=1, seed=5))
    assert [list(sampler), list(sampler)] == whole


def _only(theirs: RepeatSampler) -> list[list[int]]:
    return [list(theirs), list(theirs)]
