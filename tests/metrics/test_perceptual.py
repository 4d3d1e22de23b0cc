import functools
import http.server
import math
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from semstream.metrics import perceptual
from semstream.metrics.perceptual import BACKBONES, VARIABLE, Lpips
from semstream.metrics.quality import MetricError

GIVEN = os.environ.get(VARIABLE)


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No weights, no cache and no network, whatever this machine has."""

    def refuse(*arguments, **options):
        raise AssertionError("asked for the network")

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """SqueezeNet's parameters, of a known seed: right names and shapes, to test the loading."""
    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    path = tmp_path_factory.mktemp("weights") / "squeezenet1_1-b8a52dc0.pth"
    torch.save(state, path)
    return path


def pictures(side=64, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(2))


@pytest.mark.skipif(not GIVEN or not Path(GIVEN).is_file(), reason=f"{VARIABLE} names no file of SqueezeNet weights")
def test_lpips_squeeze_gives_the_reference_value_of_torchmetrics():
    metric = Lpips("squeeze", GIVEN)
    if not metric.available:
        pytest.skip(metric.reason)
    torch.manual_seed(123)
    first, second = (torch.rand(10, 3, 100, 100).permute(0, 2, 3, 1).numpy() for _ in range(2))
    values = [metric(a, b) for a, b in zip(first, second, strict=True)]
    assert np.mean(values) == pytest.approx(0.1008, abs=5e-5)


@pytest.mark.parametrize("net", list(BACKBONES))
def test_without_weights_it_says_in_one_line_how_to_get_them(net):
    metric = Lpips(net)
    assert not metric.available
    assert "\n" not in metric.reason
    assert BACKBONES[net].url in metric.reason
    assert VARIABLE in metric.reason
    assert math.isnan(metric(*pictures()))


def test_every_parameter_comes_from_the_files(stand_in):
    import lpips

    metric = Lpips("squeeze", stand_in)
    assert metric.available, metric.reason
    state = torch.load(stand_in, weights_only=True)
    linear = torch.load(Path(lpips.__file__).parent / "weights/v0.1/squeeze.pth", "cpu", weights_only=True)
    known = [*state.values(), *linear.values()]
    for name, parameter in metric._model.named_parameters():
        assert not parameter.is_meta
        assert any(parameter.shape == k.shape and torch.equal(parameter, k) for k in known), name
    assert torch.allclose(metric._model.scaling_layer.scale.flatten(), torch.tensor([0.458, 0.448, 0.450]))


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other:UserWarning")
def test_the_distance_is_that_of_the_lpips_package(stand_in):
    import lpips

    model = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    state = torch.load(stand_in, weights_only=True)
    renamed = {n: state["features." + n.split(".", 2)[2]] for n in model.state_dict() if n.startswith("net.")}
    model.load_state_dict(renamed, strict=False)
    first, second = pictures()
    tensors = [torch.tensor(p).permute(2, 0, 1)[None] / 127.5 - 1 for p in (first, second)]
    metric = Lpips("squeeze", stand_in)
    with torch.no_grad():
        expected = float(model(*tensors))
    assert metric(first, second) == pytest.approx(expected, rel=1e-5)
    assert metric(first / 255.0, second / 255.0) == pytest.approx(expected, rel=1e-5)
    assert metric(first, first) == 0.0


def test_the_pictures_are_left_alone(stand_in):
    planes = np.random.default_rng(0).random((2, 3, 32, 32)).astype(np.float32)
    before = planes.copy()
    Lpips("squeeze", stand_in)(*planes.transpose(0, 2, 3, 1))
    assert np.array_equal(planes, before)


def test_weights_are_found_by_argument_then_variable_then_cache(stand_in, monkeypatch, tmp_path):
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    shutil.copy(stand_in, cache)
    assert Lpips("squeeze").available
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.pth"))
    assert f"{VARIABLE} names" in Lpips("squeeze").reason
    monkeypatch.setenv(VARIABLE, str(stand_in.parent))
    assert Lpips("squeeze").available
    assert "weights_file names" in Lpips("squeeze", tmp_path / "gone.pth").reason


def test_files_in_the_format_before_zip_are_read(stand_in, tmp_path):
    old = tmp_path / "old.pth"
    torch.save(torch.load(stand_in, weights_only=True), old, _use_new_zipfile_serialization=False)
    assert Lpips("squeeze", old).available


@pytest.mark.parametrize("kept", [0, 100, 2_000_000])
def test_a_truncated_file_is_refused(stand_in, tmp_path, kept):
    cut = tmp_path / "cut.pth"
    cut.write_bytes(stand_in.read_bytes()[:kept])
    assert "cannot be read" in Lpips("squeeze", cut).reason


@pytest.mark.parametrize("content", [{"features.0.weight": torch.zeros(3)}, {}, [1, 2], {"features.0.weight": 5}])
def test_a_foreign_file_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "foreign.pth")
    assert "holds no weights of SqueezeNet" in Lpips("squeeze", tmp_path / "foreign.pth").reason


def test_weights_of_another_network_are_refused(stand_in):
    assert "holds no weights of AlexNet" in Lpips("alex", stand_in).reason


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    torch.save({"features.0.weight": Attack()}, tmp_path / "attack.pth")
    assert not Lpips("squeeze", tmp_path / "attack.pth").available
    assert not marker.exists()


def test_pictures_too_small_for_the_network_give_nan(stand_in):
    metric = Lpips("squeeze", stand_in)
    assert math.isnan(metric(*pictures(metric.minimum_side - 1)))
    assert metric(*pictures(metric.minimum_side)) > 0


def test_pictures_that_cannot_be_compared_are_refused():
    with pytest.raises(MetricError):
        Lpips("squeeze")(pictures(32)[0], pictures(33)[0])


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="vgg, alex, squeeze"):
        Lpips("resnet")


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()
        thread.join()


def test_a_download_happens_only_when_allowed_and_is_checked(server, stand_in, monkeypatch, tmp_path):
    import hashlib

    folder, url = server
    digest = hashlib.sha256(stand_in.read_bytes()).hexdigest()[:8]
    shutil.copy(stand_in, folder / f"net-{digest}.pth")
    shutil.copy(stand_in, folder / "net-00000000.pth")
    cache = tmp_path / "torch" / "hub" / "checkpoints"

    def offer(name):
        backbone = BACKBONES["squeeze"]._replace(url=url + name)
        monkeypatch.setitem(perceptual.BACKBONES, "squeeze", backbone)

    offer(f"net-{digest}.pth")
    assert not Lpips("squeeze").available
    assert Lpips("squeeze", allow_download=True).available
    assert Lpips("squeeze").available, "the download is kept"
    offer("net-00000000.pth")
    assert "damaged" in Lpips("squeeze", allow_download=True).reason
    offer("net-11111111.pth")
    assert "cannot be fetched" in Lpips("squeeze", allow_download=True).reason
    assert [file.name for file in cache.iterdir()] == [f"net-{digest}.pth"]
