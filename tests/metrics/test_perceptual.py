import functools
import hashlib
import http.server
import math
import os
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from semstream.metrics import perceptual
from semstream.metrics.perceptual import BACKBONES, VARIABLE, Lpips, LpipsError, cached_file, fetch
from semstream.metrics.quality import MetricError

GIVEN = os.environ.get(VARIABLE)


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No weights and no cache, whatever this machine has."""

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)


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
    assert f"semstream weights lpips {net}" in metric.reason
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


def test_tensors_have_the_distances_of_pictures_and_pass_gradients(stand_in):
    metric = Lpips("squeeze", stand_in)
    first, second = (torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in pictures())
    second.requires_grad_()
    distance = metric.of_tensors(first, second)
    assert distance.shape == (1,)
    assert distance.item() == pytest.approx(metric(*pictures()), rel=1e-4)
    distance.sum().backward()
    assert second.grad.abs().sum() > 0
    with pytest.raises(LpipsError, match="no weights"):
        Lpips("vgg").of_tensors(first, second)


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
def server(tmp_path, stand_in):
    """Serves files; /cut/NAME ends in the middle, /hang never answers."""
    folder = tmp_path / "served"
    folder.mkdir()
    whole = stand_in.read_bytes()
    over = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/hang"):
                over.wait(20)
            elif self.path.startswith("/cut"):
                self.send_response(200)
                self.send_header("Content-Length", str(len(whole)))
                self.end_headers()
                self.wfile.write(whole[: len(whole) // 2])
            else:
                super().do_GET()

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_address[1]}/"
        over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def published(server, stand_in, monkeypatch):
    """The stand-in under a name that carries its sum, as torchvision publishes SqueezeNet."""
    folder, url = server
    name = f"squeezenet1_1-{hashlib.sha256(stand_in.read_bytes()).hexdigest()[:8]}.pth"
    shutil.copy(stand_in, folder / name)
    monkeypatch.setitem(perceptual.BACKBONES, "squeeze", BACKBONES["squeeze"]._replace(url=url + name))
    return folder / name


def test_what_is_fetched_is_kept_and_measures(published, cache):
    assert not Lpips("squeeze").available
    path = fetch("squeeze")
    assert path == cache / published.name == cached_file("squeeze")
    assert Lpips("squeeze").available
    published.unlink()
    assert fetch("squeeze") == path, "what is there and whole is not fetched again"


def test_a_damaged_file_in_the_cache_is_fetched_again(published, cache):
    cache.mkdir(parents=True)
    (cache / published.name).write_bytes(published.read_bytes()[:1000])
    fetch("squeeze")
    assert (cache / published.name).read_bytes() == published.read_bytes()


@pytest.mark.parametrize(
    ("path", "words"),
    [("other.pth", "another file"), ("cut", "damaged"), ("nothing.pth", "404"), ("hang", "cannot be fetched")],
)
def test_what_cannot_be_fetched_whole_says_so_and_leaves_nothing(published, server, cache, path, words):
    folder, url = server
    (folder / "other.pth").write_bytes(b"another file")
    with pytest.raises(LpipsError, match=words) as refusal:
        fetch("squeeze", url + path, timeout=0.5)
    assert "\n" not in str(refusal.value)
    assert list(cache.iterdir()) == []
    assert not Lpips("squeeze").available


def test_nobody_at_the_address_is_said(published):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x.pth"
        with pytest.raises(LpipsError, match=f"cannot be fetched.*{VARIABLE}"):
            fetch("squeeze", url, timeout=5)
    with pytest.raises(LpipsError, match="cannot be fetched"):
        fetch("squeeze", "no address")


@pytest.mark.parametrize("home", ["/proc/torch", "FILE/torch"])
def test_a_cache_that_cannot_be_written_to_is_said(published, monkeypatch, tmp_path, home):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", home.replace("FILE", str(tmp_path / "file")))
    with pytest.raises(LpipsError, match=r"cannot be written to.*TORCH_HOME"):
        fetch("squeeze")


def test_auto_takes_vgg_first_then_what_is_there(stand_in, cache, monkeypatch):
    metric = Lpips()
    assert (metric.net, metric.available) == ("auto", False)
    assert "semstream weights lpips" in metric.reason
    assert metric.said == metric.reason
    cache.mkdir(parents=True)
    shutil.copy(stand_in, cache / stand_in.name)
    metric = Lpips()
    assert (metric.net, metric.name, metric.minimum_side) == ("squeeze", "LPIPS (SqueezeNet 1.1)", 17)
    assert metric.said.startswith("LPIPS by SqueezeNet 1.1 (VGG-16, the paper's, is not on this machine")
    for net, build in (("alex", torchvision.models.alexnet), ("vgg", torchvision.models.vgg16)):
        with torch.device("meta"):
            shapes = {k: v.shape for k, v in build(weights=None).state_dict().items() if k.startswith("features.")}
        torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, cached_file(net))
        assert Lpips().net == net
    metric = Lpips()
    assert metric.net == "vgg"
    assert metric.said == "LPIPS by VGG-16"
    (cache / "vgg16-397923af.pth").write_bytes(b"damaged")
    assert Lpips().net == "alex", "a damaged file does not hide another"


def test_auto_finds_out_which_network_a_named_file_holds(stand_in, monkeypatch, tmp_path):
    assert Lpips("auto", stand_in).net == "squeeze"
    monkeypatch.setenv(VARIABLE, str(stand_in))
    assert Lpips().net == "squeeze"
    monkeypatch.setenv(VARIABLE, str(stand_in.parent))
    assert Lpips().net == "squeeze"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.pth"))
    assert f"{VARIABLE} names" in Lpips().reason


def test_the_command_fetches_from_a_mirror_and_lists_what_is_there(published, cache, capsys):
    from semstream.cli import app

    url = BACKBONES["squeeze"].url
    run = functools.partial(app, standalone_mode=False)
    run(["weights"])
    assert "lpips squeeze: SqueezeNet 1.1, not on this machine" in capsys.readouterr().out
    run(["weights", "lpips", "squeeze", "--url", perceptual.BACKBONES["squeeze"].url])
    assert "the sum is right" in capsys.readouterr().out
    run(["weights"])
    assert str(cache / published.name) in capsys.readouterr().out
    assert run(["weights", "lpips", "alex", "--url", url]) == 1
    assert "another file" in capsys.readouterr().err
