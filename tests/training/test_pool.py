import numpy as np
import torch

from bioseg.training.pool import Pool


def numbered(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def values(images: torch.Tensor) -> list[float]:
    return images[:, 0, 0, 0].tolist()


def test_it_is_filled_first_and_then_swaps_half_of_the_time() -> None:
    pool, rng = Pool(5, (2, 2)), np.random.default_rng(0)
    assert values(pool.exchange(numbered(1, 2, 3), rng)) == [1, 2, 3]
    assert values(pool.exchange(numbered(4, 5), rng)) == [4, 5]
    assert values(pool.images) == [1, 2, 3, 4, 5]

    kept, swapped = {1.0, 2.0, 3.0, 4.0, 5.0}, 0
    for number in range(6, 406):
        (shown,) = values(pool.exchange(numbered(number), rng))
        if shown != number:
            swapped += 1
            kept = kept - {shown} | {float(number)}  # what was shown left, what is new came in its place
        assert set(values(pool.images)) == kept
    assert 160 < swapped < 240
    assert min(kept) > 5, "none of the first may stay for so long"


def test_each_image_of_a_batch_goes_its_own_way() -> None:
    pool, rng = Pool(4, (2, 2)), np.random.default_rng(1)
    pool.exchange(numbered(1, 2, 3, 4), rng)
    shown = values(pool.exchange(numbered(*range(10, 30)), rng))
    old = [a for a, b in zip(shown, range(10, 30), strict=True) if a != b]
    assert 4 <= len(old) <= 16 and len(set(shown)) == 20


def test_without_room_it_hands_through() -> None:
    assert values(Pool(0, (2, 2)).exchange(numbered(1, 2), np.random.default_rng(0))) == [1, 2]


def test_it_is_part_of_the_state_and_needs_no_gradients() -> None:
    pool, rng = Pool(3, (2, 2)), np.random.default_rng(0)
    fresh = numbered(1, 2).requires_grad_()
    assert not pool.exchange(fresh, rng).requires_grad and not pool.images.requires_grad
    other = Pool(3, (2, 2))
    other.load_state_dict(pool.state_dict())
    other.exchange(numbered(7), rng)
    assert values(other.images) == [1, 2, 7]
