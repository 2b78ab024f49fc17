import hashlib
import json

import pytest
import torch

from encoder.fingerprints import canonical_json, digest_tensors, fingerprint


def test_digest_is_sha256_over_headers_and_bytes_in_the_order_of_names() -> None:
    tensors = {"b": torch.tensor([1.0, 2.0]), "a": torch.tensor([[3]], dtype=torch.int64)}
    expected = hashlib.sha256()
    expected.update(json.dumps({"dtype": "int64", "name": "a", "shape": [1, 1]}, separators=(",", ":")).encode())
    expected.update((3).to_bytes(8, "little"))
    expected.update(json.dumps({"dtype": "float32", "name": "b", "shape": [2]}, separators=(",", ":")).encode())
    expected.update(bytes.fromhex("0000803f00000040"))
    assert digest_tensors(tensors) == expected.hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        {"w": torch.zeros(2, 3)},
        {"w": torch.zeros(3, 2, dtype=torch.float16)},
        {"v": torch.zeros(3, 2)},
        {"w": torch.tensor([[0, 0], [0, 0], [0, 1e-45]])},
        {"w": torch.zeros(3, 2), "x": torch.zeros(0)},
    ],
)
def test_shape_dtype_name_and_every_bit_count(other: dict[str, torch.Tensor]) -> None:
    assert digest_tensors(other) != digest_tensors({"w": torch.zeros(3, 2)})


def test_memory_layout_does_not_count() -> None:
    w = torch.arange(6.0).reshape(2, 3)
    assert digest_tensors({"w": w.t().contiguous().t()}) == digest_tensors({"w": w})


def test_configuration_counts_but_its_order_does_not() -> None:
    tensors = {"w": torch.ones(1)}
    assert fingerprint({"a": 1, "b": 2}, tensors) == fingerprint({"b": 2, "a": 1}, tensors)
    assert fingerprint({"a": 1}, tensors) != fingerprint({"a": 2}, tensors)


def test_canonical_json_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError):
        canonical_json({"x": float("nan")})
