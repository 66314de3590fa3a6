"""nsfwjs: from its package to scores, on a tiny package of the same form; and what TensorFlow.js computes."""

import contextlib
import dataclasses
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import preprocess
from classifier.engines.procedural import picture
from classifier.errors import ModelError, ModelUnreachable
from classifier.models import weights
from classifier.peers import javascript, mobilenet_v2, nsfwjs, tensorflowjs
from tests import peer_bundles
from tests.peer_bundles import FOLDER, LAYOUT, bundle, sha256
from tests.torch_threads import one_thread

__all__ = ["one_thread"]

TARBALL, ARRAYS = bundle()
CONVERTED = mobilenet_v2.to_safetensors(ARRAYS, LAYOUT)
SOURCE = nsfwjs.PackageSource("tiny@1.0.0", sha256(TARBALL), FOLDER, sha256(CONVERTED), "tiny.safetensors")
CARD = dataclasses.replace(nsfwjs.CARD, input_px=16)
IN_CACHE = (weights.default_cache_directory() / nsfwjs.SOURCE.filename).is_file()


def source_of(tarball: bytes) -> nsfwjs.PackageSource:
    return dataclasses.replace(SOURCE, tarball_sha256=sha256(tarball))


def brought(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "brought.tgz"
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("one_thread")
def test_a_package_becomes_a_classifier_that_computes_what_keras_would(tmp_path: Path) -> None:
    path = nsfwjs.fetch(tmp_path / "cache", brought(tmp_path, TARBALL), SOURCE, LAYOUT)
    model = mobilenet_v2.load(path.read_bytes(), CARD, (1, 3), layout=LAYOUT)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    pixels[1] //= 4
    pixels[2, :, :8] = 255
    expected = peer_bundles.probabilities(pixels, ARRAYS)[:, [1, 3]].sum(axis=1)
    assert expected.max() - expected.min() > 0.1
    np.testing.assert_allclose(model.predict(pixels), expected, atol=2e-6)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_what_is_there_and_sound_is_kept_and_what_is_damaged_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = nsfwjs.fetch(tmp_path, brought(tmp_path, TARBALL), SOURCE, LAYOUT)
    monkeypatch.setenv("PATH", "")
    assert nsfwjs.fetch(tmp_path, None, SOURCE, LAYOUT) == path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelUnreachable, match=r"npm, which brings it, is not installed.*--from TARBALL"):
        nsfwjs.fetch(tmp_path, None, SOURCE, LAYOUT)
    nsfwjs.fetch(tmp_path, brought(tmp_path, CONVERTED), SOURCE, LAYOUT)
    assert path.read_bytes() == CONVERTED


def test_a_package_with_another_hash_is_not_even_opened(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"neither the tarball of tiny@1\.0\.0"):
        nsfwjs.fetch(tmp_path, brought(tmp_path, TARBALL + b" "), SOURCE, LAYOUT)
    assert list(tmp_path.glob("*.safetensors")) == []


def test_converted_weights_have_to_be_the_known_ones(tmp_path: Path) -> None:
    other = dataclasses.replace(SOURCE, safetensors_sha256="0" * 64)
    with pytest.raises(ModelError, match="the converted weights have SHA-256"):
        nsfwjs.fetch(tmp_path, brought(tmp_path, TARBALL), other, LAYOUT)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (bundle(leave_out="block_1_expand/kernel")[0], "block_1_expand/kernel is missing"),
        (bundle(cut=1)[0], "not a TensorFlow.js model|describes"),
        (peer_bundles.tarball({}), r"model\.min\.js cannot be read"),
        (peer_bundles.tarball({"model": "alert(1)"}), "exports 0 literals"),
        (peer_bundles.tarball({"model": peer_bundles.minified("{a:b}")}), "not the expected literal"),
        (
            peer_bundles.tarball({"model": peer_bundles.minified("{weightsManifest:1}")}),
            "not a TensorFlow.js",
        ),
        (b"no tarball", r"model\.min\.js cannot be read"),
    ],
    ids=["no kernel", "cut", "no model", "no literal", "no JSON", "no weights", "no tarball"],
)
def test_a_damaged_package_is_refused_with_a_sentence(tmp_path: Path, damaged: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        nsfwjs.fetch(tmp_path / "cache", brought(tmp_path, damaged), source_of(damaged), LAYOUT)


def test_weights_of_another_network_are_named() -> None:
    with pytest.raises(ModelError, match="it has no odd/kernel"):
        mobilenet_v2.to_safetensors({**ARRAYS, "odd/kernel": ARRAYS["dense_1/bias"]}, LAYOUT)
    with pytest.raises(ModelError, match=r"dense_1/bias is \(4,\), not \(5,\)"):
        mobilenet_v2.to_safetensors({**ARRAYS, "dense_1/bias": np.zeros(4, np.float32)}, LAYOUT)


def test_weights_are_restored_as_tensorflow_js_restores_them() -> None:
    literal = (
        '{weightsManifest:[{paths:["s"],weights:[{name:"a",shape:[2],dtype:"float32",'
        'quantization:{min:-.5,scale:.1,dtype:"uint8"}},{name:"b",shape:[1],dtype:"float32"}]}]}'
    )
    scripts = {"model": peer_bundles.minified(literal), "s": peer_bundles.minified('"A/8AAIA/"')}
    found = tensorflowjs.read(scripts.__getitem__)
    np.testing.assert_array_equal(found["a"], np.array([3 * 0.1 - 0.5, 255 * 0.1 - 0.5], np.float32))
    np.testing.assert_array_equal(found["b"], np.array([1.0], np.float32))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_whatever_json_can_say_is_read_as_json_reads_it(value: object) -> None:
    import json

    assert javascript.parse(json.dumps(value))[0] == value
    assert javascript.parse(json.dumps(value, ensure_ascii=False))[0] == value


@given(st.text(alphabet="{}[]:,'\"!01.-eabx \\", max_size=40))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    with contextlib.suppress(ModelError):  # and nothing else
        assert javascript.parse(text)[1] <= len(text)


def test_a_minified_literal_is_read() -> None:
    found, _ = javascript.parse("{a:[!0,!1,null,.5,-1e-3,0x10],'b c':\"x\\n'\",3:'\"',d:{},}")
    assert found == {"a": [True, False, None, 0.5, -0.001, 16.0], "b c": "x\n'", "3": '"', "d": {}}


def test_endless_nesting_is_refused() -> None:
    with pytest.raises(ModelError, match="at character 64"):
        javascript.parse("[" * 100_000)


def test_without_weights_the_message_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not here yet\. Run: python -m bot models fetch nsfwjs"):
        nsfwjs.load(tmp_path)
    (tmp_path / nsfwjs.SOURCE.filename).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="wrong SHA-256"):
        nsfwjs.load(tmp_path)


if IN_CACHE:  # 25 MB from npm's registry, which a test run should not ask for
    TENSORFLOW_JS = [
        [0.8098302, 0.0270304, 0.1514147, 0.0099191, 0.0018055],
        [0.0011384, 0.0018873, 0.8384334, 0.1554210, 0.0031198],
        [0.2404671, 0.0263166, 0.6458623, 0.0792886, 0.0080653],
        [0.0033179, 0.0041391, 0.6485589, 0.3385287, 0.0054555],
    ]
    """What nsfwjs 4.3.0 gives on TensorFlow.js 4.22.0 (`benchmarks/nsfwjs_parity.mjs`), class by class."""

    @pytest.mark.usefixtures("one_thread")
    def test_the_published_model_gives_what_it_gives_on_tensorflow_js() -> None:
        model = nsfwjs.load()
        way = preprocess.get(model.card.preprocessing)
        pixels = np.stack([way.prepare_array(picture(7, index), "rgb") for index in range(4)])
        expected = np.array(TENSORFLOW_JS)[:, [1, 3]].sum(axis=1)
        np.testing.assert_allclose(model.predict(pixels), expected, atol=3e-5)
