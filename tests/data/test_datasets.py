import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from semstream.data.datasets import load_cifar, load_npz
from semstream.data.picture import SourceError
from semstream.data.sequence import open_sequence


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def planes(batch):
    return batch.transpose(0, 3, 1, 2).reshape(len(batch), -1)


def write_cifar10(folder, protocol=2, per_batch=4):
    folder.mkdir(parents=True)
    for number, name in enumerate([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]):
        batch = {
            b"batch_label": b"a batch",
            b"labels": [1] * per_batch,
            b"data": planes(pictures(per_batch, number)),
            b"filenames": [b"a.png"] * per_batch,
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol))
    return folder


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_cifar10_is_read_in_every_pickle_protocol(tmp_path, protocol):
    folder = write_cifar10(tmp_path / "cifar-10-batches-py", protocol)
    assert np.array_equal(load_cifar(folder, "test"), pictures(4, 5))
    assert np.array_equal(load_cifar(folder, "train"), np.concatenate([pictures(4, n) for n in range(5)]))


def test_a_batch_written_by_python_2_is_read(tmp_path):
    # As in the archive of 2009: protocol 2, str (not bytes, not unicode) keys and array data in the opcode U or T.
    data = planes(pictures(2, 9))
    raw = data.tobytes()
    head = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x11testing batch 1 oq\x03U\x04dataq\x04cnumpy.core.multiarray\n"
    head += b"_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\n"
    head += b"q\x08U\x02u1K\x00K\x01\x87Rq\x09(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
    (tmp_path / "test_batch").write_bytes(head + len(raw).to_bytes(4, "little") + raw + b"tbu.")
    assert np.array_equal(load_cifar(tmp_path, "test"), pictures(2, 9))


def test_cifar_is_found_from_the_folder_above(tmp_path):
    write_cifar10(tmp_path / "cifar-10-batches-py")
    sequence = open_sequence(str(tmp_path))
    assert sequence.length == 4
    assert np.array_equal(list(sequence), pictures(4, 5))


def test_cifar100_is_read(tmp_path):
    for split, seed in (("train", 0), ("test", 1)):
        batch = {b"data": planes(pictures(3, seed)), b"fine_labels": [1] * 3, b"coarse_labels": [1] * 3}
        (tmp_path / split).write_bytes(pickle.dumps(batch, 2))
    (tmp_path / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"apple"]}, 2))
    assert np.array_equal(load_cifar(tmp_path, "train"), pictures(3, 0))
    assert np.array_equal(load_cifar(tmp_path, "test"), pictures(3, 1))


@pytest.mark.parametrize(("names", "labels"), [(["test_batch.bin"], 1), (["test.bin"], 2)])
def test_binary_layouts_are_read(tmp_path, names, labels):
    rows = np.hstack([np.full((6, labels), 7, np.uint8), planes(pictures(6))])
    rows.tofile(tmp_path / names[0])
    assert np.array_equal(load_cifar(tmp_path, "test"), pictures(6))


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path):
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Attack()}, 2))
    with pytest.raises(SourceError, match="was not run"):
        load_cifar(tmp_path, "test")
    assert not marker.exists()


@pytest.mark.parametrize("kept", [0, 10, 2000])
def test_a_truncated_batch_is_named(tmp_path, kept):
    folder = write_cifar10(tmp_path / "c")
    file = folder / "test_batch"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(SourceError, match="test_batch: expected a CIFAR batch"):
        load_cifar(folder)


def test_a_truncated_binary_batch_is_named(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(b"x" * 3072)
    with pytest.raises(SourceError, match=r"test_batch.bin: expected a multiple of 3073 bytes, got 3072"):
        load_cifar(tmp_path)


@pytest.mark.parametrize("data", [np.zeros((2, 3072)), np.zeros((2, 3071), np.uint8), [1, 2], None])
def test_a_batch_of_another_shape_is_refused(tmp_path, data):
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": data}))
    with pytest.raises(SourceError, match=r"uint8 \(N, 3072\)"):
        load_cifar(tmp_path)


def test_a_missing_training_batch_is_named(tmp_path):
    folder = write_cifar10(tmp_path / "c")
    (folder / "data_batch_3").unlink()
    with pytest.raises(SourceError, match="missing data_batch_3"):
        load_cifar(folder, "train")


def test_a_missing_split_is_named(tmp_path):
    folder = write_cifar10(tmp_path / "c")
    (folder / "test_batch").unlink()
    with pytest.raises(SourceError, match="test batches"):
        load_cifar(folder, "test")


def test_tiny_imagenet_is_read_from_val_and_train(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    for number, folder in enumerate(["train/n01/images", "val/images", "test/images"]):
        (root / folder).mkdir(parents=True)
        for index in range(number + 1):
            Image.new("RGB", (64, 64), (number, 0, 0)).save(root / folder / f"x_{index}.JPEG")
    (root / "wnids.txt").write_text("n01\n")
    for source in (root, tmp_path):
        assert open_sequence(source).length == 2
        assert [p.shape for p in open_sequence(source, split="train")] == [(64, 64, 3)]


def test_npz_splits_are_told_apart(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x_train=pictures(3, 0), x_test=pictures(2, 1), y_test=np.zeros(2))
    assert np.array_equal(list(open_sequence(tmp_path / "a.npz")), pictures(2, 1))
    assert np.array_equal(list(open_sequence(tmp_path / "a.npz", split="train")), pictures(3, 0))


@pytest.mark.parametrize(
    "stored", [pictures(2), pictures(2).transpose(0, 3, 1, 2), pictures(2)[..., :1], pictures(2)[..., 0]]
)
def test_a_single_array_of_any_layout_is_taken(tmp_path, stored):
    np.savez(tmp_path / "a.npz", stored)
    got = load_npz(tmp_path / "a.npz")
    assert got.shape == (2, 32, 32, 3)
    assert np.array_equal(got[..., 0], pictures(2)[..., 0])


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"x_test": np.zeros((2, 8, 8, 3))}, "float64"),
        ({"x_test": np.zeros((2, 8), np.uint8)}, r"uint8 \(2, 8\)"),
        ({"x_test": np.zeros((0, 8, 8, 3), np.uint8)}, r"\(0, 8, 8, 3\)"),
        ({"a": np.zeros(1), "b": np.zeros(1)}, "found a, b"),
        ({"x_test": np.array([{}], dtype=object)}, "plain arrays"),
    ],
)
def test_an_archive_without_pictures_is_explained(tmp_path, arrays, named):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SourceError, match=named):
        load_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_truncated_archive_is_refused(tmp_path, kept):
    np.savez(tmp_path / "a.npz", x_test=pictures(2))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"a\.npz"):
        load_npz(tmp_path / "a.npz")


def test_a_damaged_archive_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x_test=pictures(2))
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[200:400] = b"\xff" * 200
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(SourceError, match=r"a\.npz"):
        load_npz(tmp_path / "a.npz")


def test_an_unknown_split_is_refused():
    with pytest.raises(SourceError, match="train or test"):
        open_sequence("", split="valid")


def test_the_room_imports_neither_runtime_nor_torch():
    code = (
        "import sys, semstream.data.sequence as s;"
        "print([m for m in sys.modules if m.split('.')[0] in ('zmq', 'torch', 'blocks', 'av', 'skimage')"
        " or m.startswith('semstream.runtime')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
