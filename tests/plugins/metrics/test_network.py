"""The metric ``network``: tiny networks that are built here, as files of a user's would be."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fusionkit
from fusionkit import METRIC, FusionkitWarning, UsageError, evaluate
from fusionkit.cli import main
from fusionkit.evaluation.presets import metric_names
from fusionkit.testing import Check, CheckSkipped, checks_for

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT
RGB = np.array([0.2, 0.7, 0.1], np.float32).reshape(1, 3, 1, 1)


def write(
    path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: Any, **tensors: Any
) -> Path:
    """Write a network of some nodes, with inputs, outputs and constants by name."""

    def values(shapes: dict[str, Any]) -> list[Any]:
        return [helper.make_tensor_value_info(n, FLOAT, shape) for n, shape in shapes.items()]

    constants = [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def distance(path: Path, height: Any = "h", width: Any = "w", batch: Any = "n") -> Path:
    """Write the mean squared difference of two images, channels weighted: lower is better."""
    shape = [batch, 3, height, width]
    nodes = [
        helper.make_node("Sub", ["image", "other"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squares"]),
        helper.make_node("Mul", ["squares", "weights"], ["weighted"]),
        helper.make_node("ReduceMean", ["weighted"], ["score"], keepdims=0),
    ]
    return write(path, nodes, {"image": shape, "other": shape}, {"score": []}, weights=RGB)


def opinion(path: Path, scale: float = 1.0, output: Any = (1, 1, 1, 1)) -> Path:
    """Write a weighted mean of one image."""
    nodes = [
        helper.make_node("Mul", ["image", "weights"], ["weighted"]),
        helper.make_node("ReduceMean", ["weighted"], ["score"], keepdims=1),
    ]
    weights = RGB * np.float32(scale)
    return write(path, nodes, {"image": [1, 3, "h", "w"]}, {"score": output}, weights=weights)


GENERATOR = np.random.default_rng(0)
GREY = [GENERATOR.integers(0, 256, (40, 50), dtype=np.uint8) for _ in range(4)]
COLOUR = [GENERATOR.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(4)]


def channels(image: Any) -> Any:
    return (image if image.ndim == 3 else np.stack([image] * 3, -1)).astype(float)


def weighted(values: Any) -> float:
    return float((values * RGB.reshape(3)).mean())


def said(file: Path, better: str, **others: str) -> dict[str, dict[str, Any]]:
    return {"network": {"network": file, "better": better, **others}}


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize(("values", "factor"), [("unit", 1 / 255), ("signed", 2 / 255)])
def test_a_pair_is_compared_with_each_source_or_the_truth(images, values, factor, tmp_path):
    fused, *sources, truth = images
    file = distance(tmp_path / "pair.onnx")

    def expected(other: Any) -> float:
        return weighted(((channels(fused) - channels(other)) * factor) ** 2)

    options = said(file, "lower", values=values)
    found = evaluate(fused, sources, metrics=["network"], metric_options=options)
    mean = np.mean([expected(source) for source in sources])
    assert found == {"network": pytest.approx(mean, rel=1e-5)}
    options["network"]["against"] = "truth"
    asked = {"metrics": ["network"], "metric_options": options}
    assert evaluate(fused, sources, **asked) == {}
    found = evaluate(fused, sources, **asked, reference=truth)
    assert found["truth-network"] == pytest.approx(expected(truth), rel=1e-5)
    assert "network" not in found


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("values", ["unit", "signed"])
@pytest.mark.parametrize("output", [(1, 1, 1, 1), ("a", "b", "c", "d")])
def test_one_image_is_scored_by_itself(images, values, output, tmp_path):
    fused, *sources = images
    options = said(opinion(tmp_path / "one.onnx", output=output), "higher", values=values)
    found = evaluate(fused, sources, metrics=["network"], metric_options=options)
    unit = weighted(channels(fused) / 255)
    expected = unit if values == "unit" else 2 * unit - 1 / 3
    assert found == {"network": pytest.approx(expected, rel=1e-4)}


def test_the_first_input_is_the_fused_image(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["b"], ["mean"], keepdims=0),
        helper.make_node("ReduceMax", ["a"], ["most"], keepdims=0),
        helper.make_node("Sub", ["mean", "most"], ["score"]),
    ]
    shape = [1, 3, 40, 50]
    file = write(tmp_path / "x.onnx", nodes, {"b": shape, "a": shape}, {"score": []})
    dark, bright = np.full((40, 50), 51, np.uint8), np.full((40, 50), 204, np.uint8)
    options = said(file, "lower")
    found = evaluate(dark, [bright, bright], metrics=["network"], metric_options=options)
    assert found["network"] == pytest.approx(0.2 - 0.8, abs=1e-5)


def measure(file: Path, **others: str) -> dict[str, float]:
    options = said(file, "lower", **others)
    return evaluate(GREY[0], GREY[1:3], metrics=["network"], metric_options=options)


def test_a_fixed_size_is_kept_or_refused(tmp_path):
    assert measure(distance(tmp_path / "fits.onnx", 40, 50, 1))
    assert measure(distance(tmp_path / "half.onnx", 40, "w", 1))
    other = distance(tmp_path / "other.onnx", 40, 64, 1)
    with pytest.warns(FusionkitWarning, match=r"other.onnx takes 64x40 pixels, .* is 50x40: exp"):
        assert measure(other) == {}


IMAGE = [1, 3, "h", "w"]
SAME = [helper.make_node("Identity", ["a"], ["score"])]


def two_scores(path: Path) -> Path:
    means = [
        helper.make_node("ReduceMean", ["a"], ["one"], keepdims=0),
        helper.make_node("ReduceMax", ["a"], ["two"], keepdims=0),
    ]
    return write(path, means, {"a": IMAGE}, {"one": [], "two": []})


def of_shape(path: Path, shape: list[Any]) -> Path:
    node = helper.make_node("ReduceMean", ["a"], ["score"], keepdims=0)
    return write(path, [node], {"a": shape}, {"score": []})


def five_scores(path: Path) -> Path:
    node = helper.make_node("Identity", ["five"], ["score"])
    five = np.zeros(5, np.float32)
    return write(path, [node], {"a": IMAGE}, {"score": [5]}, five=five)


def three_images(path: Path) -> Path:
    node = helper.make_node("Sum", ["a", "b", "c"], ["score"])
    return write(path, [node], dict.fromkeys("abc", IMAGE), {"score": IMAGE})


def outside(path: Path) -> Path:
    """Write a network whose weights are in another file, which is there."""
    model = onnx.load(str(opinion(path)))
    onnx.save(model, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (path.parent / "w.bin").stat().st_size
    return path


def nothing(path: Path) -> Path:
    path.write_bytes(b"nothing")
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def folder_of(path: Path) -> Path:
    return opinion(folder(path) / "lpips.onnx").parent


NO_NETWORKS = {
    "no ONNX": (nothing, "protobuf"),
    "no file": (lambda path: path, "there is no such file"),
    "a long name": (lambda path: path / ("a" * 300), "there is no such file"),
    "a folder": (folder, "bad.onnx: is a folder: give the ONNX file itself$"),
    "a folder with one": (folder_of, r"file itself, such as .*bad\.onnx.lpips\.onnx$"),
    "weights elsewhere": (outside, "its weights are in another file"),
    "three inputs": (three_images, "3 inputs"),
    "two outputs": (two_scores, "2 outputs"),
    "five numbers": (five_scores, r"output is tensor\(float\) \(5,\)"),
    "an image": (
        lambda path: write(path, SAME, {"a": [1, 3, 4, 4]}, {"score": [1, 3, 4, 4]}),
        "output is",
    ),
    "grey": (lambda path: of_shape(path, [1, 1, "h", "w"]), "export it as float32"),
    "channels last": (lambda path: of_shape(path, [1, "h", "w", 3, 1]), "export it as float32"),
    "a batch": (lambda path: of_shape(path, [8, 3, "h", "w"]), "export it as float32"),
}


@pytest.mark.parametrize("case", NO_NETWORKS)
def test_what_is_no_such_network_is_told_in_a_line(case, tmp_path, monkeypatch):
    make, words = NO_NETWORKS[case]
    monkeypatch.chdir(tmp_path)  # where weights of another file would be found
    file = make(tmp_path / "bad.onnx")
    with pytest.raises(UsageError, match=words) as refused:
        measure(file)
    assert "bad.onnx" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_what_it_returns_is_one_finite_number(tmp_path):
    with pytest.warns(FusionkitWarning, match="big.onnx: its output is inf"):
        assert measure(opinion(tmp_path / "big.onnx", scale=3e38), values="unit") == {}
    open_ended = write(tmp_path / "map.onnx", SAME, {"a": IMAGE}, {"score": list("abcd")})
    with pytest.warns(FusionkitWarning, match=r"its output is \(1, 3, 40, 50\), not one number"):
        assert measure(open_ended) == {}


def test_one_that_cannot_be_run_is_told_in_a_line(tmp_path):
    node = helper.make_node("Reshape", ["a", "shape"], ["score"])
    file = write(tmp_path / "odd.onnx", [node], {"a": IMAGE}, {"score": ["n"]}, shape=np.array([1]))
    with pytest.warns(FusionkitWarning, match="odd.onnx: .*Reshape"):
        assert measure(file) == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs --metric.network PATH: The ONNX file"),
        ({"network": "one.onnx"}, "needs --metric.better TEXT: higher or lower"),
        ({"network": "one.onnx", "better": "more"}, "better is higher or lower, not 'more'"),
        ({"network": "one.onnx", "better": "lower", "against": "truth"}, "with nothing: leave out"),
    ],
)
def test_options_that_are_wrong(options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opinion(tmp_path / "one.onnx")
    with pytest.raises(UsageError, match=words):
        evaluate(GREY[0], GREY[1:3], metrics=["network"], metric_options={"network": options})


def test_without_onnxruntime_it_says_what_to_install(tmp_path, monkeypatch):
    file = opinion(tmp_path / "one.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"pip install 'fusionkit-imaging\[detect\]'"):
        measure(file)


def test_all_metrics_are_those_that_need_no_file():
    names = metric_names("all", fusionkit.load_plugins())
    assert "ssim" in names
    assert "network" not in names


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder, images in (("ir", COLOUR[1:3]), ("vi", COLOUR[2:4]), ("fused", COLOUR[:2])):
        (tmp_path / folder).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [(), ("--jobs", "2")])
def test_the_command_measures_it_as_python_does(desk, capsys, jobs):
    file = distance(desk / "pair.onnx")
    asked = ["--metric", "network,sd", "--metric.network", "pair.onnx", "--metric.better", "lower"]
    words = ["evaluate", "fused", "--sources", "ir", "vi", *asked, *jobs, "--json", "--quiet"]
    assert main(words) == 0
    content = json.loads(capsys.readouterr().out)
    (method,) = content["methods"].values()
    for number in "01":
        paths = [f"{folder}/{number}.png" for folder in ("fused", "ir", "vi")]
        own = evaluate(paths[0], paths[1:], metrics=["network"], metric_options=said(file, "lower"))
        assert method["scenes"][number]["network"] == own["network"]
    assert "pair.onnx (SHA-256 " in json.dumps(content)


@pytest.mark.slow
def test_a_study_runs_again_when_the_file_changes(desk, capsys):
    words = ["ablate", "ir", "vi", "-o", "study", "--weighting", "fixed", "--objective", "mse"]
    words += ["--estimator", "gaussian", "--steps", "1", "--baseline", "none", "--quiet"]
    words += ["--metric", "network", "--metric.network", "one.onnx", "--metric.better", "higher"]

    def values() -> list[float]:
        assert main(words) == 0
        lines = Path("study/results.jsonl").read_text("utf-8").splitlines()
        return [line["values"]["network"] for line in map(json.loads, lines)]

    opinion(desk / "one.onnx")
    first = values()
    assert len(first) == 2
    assert values() == first  # nothing is left to do
    opinion(desk / "one.onnx", scale=2)
    again = values()
    assert len(again) == 4
    assert again[2:] == pytest.approx([2 * value for value in first], rel=1e-5)


REGISTRY = fusionkit.load_plugins()
CHECKS = [check.name for check in checks_for(REGISTRY.find(METRIC, "metrics:network"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("inputs", [1, 2])
def test_it_keeps_the_contract(name, inputs, tmp_path):
    # By itself, an image is no better than a flat one of its mean: one of much contrast is.
    file = distance(tmp_path / "d.onnx") if inputs == 2 else contrast(tmp_path / "c.onnx")
    options = {"network": str(file), "better": "lower" if inputs == 2 else "higher"}
    subject = REGISTRY.find(METRIC, "metrics:network")
    (check,) = [c for c in checks_for(subject, options) if c.name == name]
    assert isinstance(check, Check)
    try:
        check.run()
    except CheckSkipped as skipped:
        raise AssertionError(f"left out: {skipped}") from skipped


def contrast(path: Path) -> Path:
    """Write the mean difference of an image from its mean."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["image", "mean"], ["apart"]),
        helper.make_node("Abs", ["apart"], ["size"]),
        helper.make_node("ReduceMean", ["size"], ["score"], keepdims=0),
    ]
    return write(path, nodes, {"image": IMAGE}, {"score": []})
