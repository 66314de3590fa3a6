"""What a repository says about its model is read as timm reads it, or refused with the key at fault."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.errors import ModelError
from classifier.peers import hub, timm_config

MARQO: dict[str, Any] = {
    "architecture": "vit_tiny_patch16_384",
    "num_classes": 2,
    "num_features": 192,
    "global_pool": "token",
    "label_names": ["NSFW", "SFW"],
    "pretrained_cfg": {
        "custom_load": True,
        "input_size": [3, 384, 384],
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "num_classes": 1000,
        "classifier": "head",
    },
}
"""As the hub shows the file of Marqo/nsfw-image-detection-384."""


def changed(key: str, value: Any) -> bytes:
    config = json.loads(json.dumps(MARQO))
    outer, _, inner = key.rpartition(".")
    (config[outer] if outer else config)[inner] = value
    return json.dumps(config).encode()


def test_the_known_models_config_is_what_its_card_says() -> None:
    found = timm_config.parse(json.dumps(MARQO).encode(), "config.json")
    assert found.preprocessing == hub.MARQO_CARD.preprocessing
    assert found.input_px == hub.MARQO_CARD.input_px
    assert (found.labels, found.scored) == (("NSFW", "SFW"), (0,))
    assert found.arguments == {"global_pool": "token"}
    assert (found.mean, found.deviation, found.is_fixed_size) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), True)


def test_the_order_of_labels_decides_which_class_is_scored() -> None:
    assert timm_config.parse(changed("label_names", ["sfw", "Nsfw "]), "c").scored == (1,)
    five = json.loads(changed("label_names", ["drawings", "hentai", "neutral", "porn"]))
    five["num_classes"] = 4
    assert timm_config.parse(json.dumps(five).encode(), "c").scored == (1, 3)


def test_what_the_file_leaves_out_is_timms_default() -> None:
    config = {"architecture": "a", "label_names": ["nsfw", "sfw"], "pretrained_cfg": {}}
    found = timm_config.parse(json.dumps(config).encode(), "c")
    assert found.preprocessing == "centre-crop-v1@224:256:bicubic"
    assert (found.mean, found.deviation) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pretrained_cfg", None, "has no pretrained_cfg"),
        ("architecture", 3, "architecture is 3"),
        ("label_names", None, "label_names is None"),
        ("label_names", ["LABEL_0", "LABEL_1"], "is not clear"),
        ("label_names", ["sexy", "sfw"], "is not clear"),
        ("label_names", ["sfw", "safe"], "is not clear"),
        ("label_names", ["nsfw", "porn"], "is not clear"),
        ("label_names", ["nsfw", "NSFW"], "is not clear"),
        ("label_names", ["nsfw", "sfw", "safe"], "num_classes is 2, but there are 3"),
        ("model_args", [], r"model_args is \[\]"),
        ("pretrained_cfg.input_size", [3, 384, 256], r"input_size is \[3, 384, 256\]"),
        ("pretrained_cfg.input_size", [1, 28, 28], r"input_size is \[1, 28, 28\]"),
        ("pretrained_cfg.input_size", [3, 4096, 4096], "crops 16 to 1024 px"),
        ("pretrained_cfg.crop_pct", 1.2, "crop_pct is 1.2"),
        ("pretrained_cfg.crop_mode", "border", "crop_mode is 'border'; supported: center, squash"),
        ("pretrained_cfg.interpolation", "lanczos", "interpolation is 'lanczos'"),
        ("pretrained_cfg.mean", [0.5], "mean is"),
        ("pretrained_cfg.std", [0.5, 0, 0.5], "std is"),
        ("pretrained_cfg.std", [0.5, float("nan"), 0.5], "std is"),
    ],
)
def test_what_is_not_clear_or_not_supported_is_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        timm_config.parse(changed(key, value), "here/config.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(sorted({*MARQO, *(f"pretrained_cfg.{key}" for key in MARQO["pretrained_cfg"])})),
    json_values,
)
def test_any_value_under_any_key_is_read_or_refused(key: str, value: Any) -> None:
    try:
        found = timm_config.parse(changed(key, value), "c")
    except ModelError:
        return
    assert 0 < len(found.scored) < len(found.labels)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"null", b"[" * 100_000])
def test_what_is_no_config_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"^c: "):
        timm_config.parse(content, "c")
