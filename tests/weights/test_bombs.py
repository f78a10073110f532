"""Files made to be small and to ask for much: refused in bounded memory, or never read."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from netc import weights as stored
from tests.weights.samples import arrays, refused, state

MEMORY_BYTES = 300 << 20
"""What looking into a file may take beyond what Python, numpy and torch take."""

LOOK = """
import resource, sys
import numpy, onnx, torch
from netc import api, weights
from netc.diagnostic import Fault
graph = api.load(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    weights.load(sys.argv[1], graph)
    print("loaded")
except Fault as fault:
    print(fault.code)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
SPEC = "net A {\n  input x: f32[N, 4]\n  output y: f32[N, 3]\n  from x -> fc: fc(3, bias=false) => y\n}\n"


def look(path: Path) -> tuple[str, int]:
    """What loading says in a process of its own, and the memory it took."""
    spec = path.with_name("a.cnn")
    spec.write_text(SPEC)
    command = [sys.executable, "-c", LOOK, str(path), str(spec)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    said, taken = done.stdout.split()
    return said, int(taken)


def packed(name: str, data: bytes, zeros: int) -> bytes:
    """A zip archive with one packed member: some bytes and then so many zeros, made without packing all of them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    stream = start + block * (zeros >> 20) + packer.flush(zlib.Z_FINISH)
    size = len(data) + (zeros >> 20 << 20)
    extra = struct.pack("<HHQQ", 1, 16, size, len(stream))  # zip64: the sizes in eight bytes
    encoded = name.encode()
    common = struct.pack("<HHHHHIII", 45, 0, 8, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF)
    local = b"PK\3\4" + common + struct.pack("<HH", len(encoded), len(extra)) + encoded + extra + stream
    lengths = struct.pack("<HHHHHII", len(encoded), len(extra), 0, 0, 0, 0, 0)
    central = b"PK\1\2" + struct.pack("<H", 45) + common + lengths + encoded + extra
    return local + central + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.slow
def test_an_npz_of_eight_gigabytes_of_zeros_is_never_unpacked(tmp_path: Path) -> None:
    # The shape says what the member holds, and the net has another.
    path = tmp_path / "w.npz"
    path.write_bytes(packed("fc.weight.npy", header((1 << 31,)), 1 << 33))
    assert path.stat().st_size < 64 << 20
    said, taken = look(path)
    assert said == "N401"
    assert taken < MEMORY_BYTES


@pytest.mark.slow
def test_an_npz_whose_member_is_larger_than_its_shape_is_never_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(packed("fc.weight.npy", header((3, 4)), 1 << 33))
    said, taken = look(path)
    assert said == "N403"
    assert taken < MEMORY_BYTES


def test_an_npz_packed_without_end_reads_as_the_numbers_it_has(tmp_path: Path) -> None:
    # The helper above makes archives that numpy reads: what the tests refuse is no mistake in how they are packed.
    (tmp_path / "w.npz").write_bytes(packed("a.npy", header((1 << 18,)), 1 << 20))
    with zipfile.ZipFile(tmp_path / "w.npz") as archive:
        assert len(archive.infolist()) == 1
        assert archive.infolist()[0].file_size == len(header((1 << 18,))) + (1 << 20)


@pytest.mark.parametrize("size", [1 << 60, 1 << 40, 1 << 20, 101])
def test_a_safetensors_header_that_claims_more_than_there_is_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "w.safetensors").write_bytes(size.to_bytes(8, "little") + b"{" + b" " * 98 + b"}")
    refused(tmp_path / "w.safetensors", "N403")


def test_a_safetensors_tensor_beyond_the_file_is_refused(tmp_path: Path) -> None:
    text = b'{"fc.weight":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,80]}}'
    (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(80))
    refused(tmp_path / "w.safetensors", "N403")


def span(begin: int, end: int, shape: str = "[2]") -> str:
    return f'{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}'


@pytest.mark.parametrize(
    "header",
    [
        f'{{"a":{span(0, 8)},"b":{span(4, 12)}}}',  # they overlap
        f'{{"a":{span(0, 8)},"b":{span(12, 16, "[1]")}}}',  # bytes between them
        f'{{"a":{span(-8, 0)}}}',
        f'{{"a":{span(0, 8, "[-1,-2]")},"b":{span(8, 16)}}}',
        f'{{"a":{span(0, 8, "[3]")},"b":{span(8, 16)}}}',  # 12 bytes in 8
        f'{{"a":{span(0, 8)},"b":{span(8, 100, "[23]")}}}',  # past the end
        f'{{"a":{span(8, 16)},"b":{span(8, 0)}}}',  # ends before it begins
        f'{{"a":{span(0, 8)},"a":{span(8, 16)}}}',  # one name twice
    ],
)
def test_a_safetensors_header_that_lies_about_offsets_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(16))
    refused(tmp_path / "w.safetensors", "N403")


def repickled(path: Path, old: bytes, new: bytes) -> Path:
    """A checkpoint with bytes of its pickle replaced."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (pickled,) = [name for name in members if name.endswith("data.pkl")]
    assert old in members[pickled]
    members[pickled] = members[pickled].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


FIVE = b"K\x05\x85"  # the shape (5,) in a pickle
LARGE = b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85"  # the shape (2^40,)


@pytest.mark.parametrize("new", [b"M\xff\xff\x85", LARGE], ids=["65535", "2^40"])
def test_a_checkpoints_tensor_beyond_its_storage_is_refused(tmp_path: Path, new: bytes) -> None:
    torch.save({**state(), "fc.bias": torch.arange(5.0)}, tmp_path / "w.pt")
    refused(repickled(tmp_path / "w.pt", FIVE, new), "N403")


def test_a_checkpoints_tensor_without_end_in_one_number_is_never_made(tmp_path: Path) -> None:
    # A stride of 0 makes any shape of one number; the net has another, so no number of it is read.
    torch.save({**state(), "fc.bias": torch.ones(1).expand(1 << 50)}, tmp_path / "w.pt")
    assert f"fc.bias: {1 << 50}, expected 5" in refused(tmp_path / "w.pt", "N401").message


@pytest.mark.slow
def test_an_old_checkpoint_that_claims_a_storage_of_terabytes_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"fc.weight": torch.zeros(1234)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    count = b"M" + struct.pack("<H", 1234)
    assert count in data
    path.write_bytes(data.replace(count, b"\x8a\x06\x00\x00\x00\x00\x00\x01"))  # 2^40
    said, taken = look(path)
    assert said == "N403"
    assert taken < MEMORY_BYTES


def test_a_name_of_a_million_letters_is_cut(tmp_path: Path) -> None:
    for letters, code in ((4_000, "N401"), (1_000_000, "N403")):
        torch.save({**state(), "a" * letters: torch.zeros(1)}, tmp_path / "w.pt")
        assert len(refused(tmp_path / "w.pt", code).message) < 1_000


def test_of_thousands_of_tensors_too_many_twenty_are_listed(tmp_path: Path) -> None:
    more = {f"t{i}": np.zeros(1, np.float32) for i in range(20_000)}
    stored.save({**arrays(), **more}, tmp_path / "w.safetensors")
    message = refused(tmp_path / "w.safetensors", "N401").message
    assert "20000 tensors do not fit" in message
    assert len(message.splitlines()) == 22


def test_an_onnx_tensor_of_exabytes_is_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    tensor = numpy_helper.from_array(arrays()["fc.weight"], "fc.weight")
    tensor.dims[0] = 1 << 62
    tensor.ClearField("raw_data")  # no bytes to hold it to
    graph = onnx.GraphProto(name="g", initializer=[tensor])
    (tmp_path / "w.onnx").write_bytes(onnx.ModelProto(ir_version=10, graph=graph).SerializeToString())
    refused(tmp_path / "w.onnx", "N403")
