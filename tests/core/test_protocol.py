from __future__ import annotations

import json
import math

import pytest

from ptalker_blender.core import PROTOCOL_VERSION, protocol
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.protocol import ProtocolError, decode_event, decode_request, encode

REQUESTS = [
    protocol.Hello(7),
    protocol.Generate(8, "/a ü.wav", "/r.npz", 29.97, "warm", 0.5, 3, "/mesh.npz", True),
    protocol.Generate(8, "/x.wav", "/r.npz"),
    protocol.Generate(8, "/x.wav", "/r.npz", blend=(("clear", 0.5), ("/a.safetensors", 1.0)), reference="/c.npz", blink=0.0),
    protocol.ReadStyle(8, "/c.npz", "/s.safetensors", "warm", "voice", "/p.png"),
    protocol.FineTune(8, ("/a.npz", "/b.npz"), "/s.safetensors", minutes=1.5, seed=3),
    protocol.Explain(8, "/p.png", ("clear",)),
    protocol.Rig(9, "/mesh.npz", "/basis.npz"),
    protocol.Meet(9, "/r.npz", "/mesh.npz", "/met.npz"),
    protocol.Fit(9, "/r.npz", "/keys.npz", "/fit.npz", False),
    protocol.Cancel(10, 8),
    protocol.Shutdown(11),
]
EVENTS = [
    protocol.Ready(0, {"device": "cpu", "card": {"r": 0.8}}),
    protocol.Progress(8, "listening", 0.4),
    protocol.Progress(8, "fine-tuning", 0.4, 0.8, 0.9),
    protocol.Result(8, "/r.npz", 300, 10.0, ("The sound is silent.",)),
    protocol.Result(8, "/s.safetensors", figures={"confidence": 0.8, "made_from": "motion"}),
    protocol.Failed(8, "audio_unreadable", "No.", "Convert it.", "Traceback\nline"),
    protocol.CancelledJob(8),
]


@pytest.mark.parametrize("message", REQUESTS)
def test_requests_come_back(message: protocol.Request) -> None:
    line = encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_request(line) == message


@pytest.mark.parametrize("message", EVENTS)
def test_events_come_back(message: protocol.Event) -> None:
    assert decode_event(encode(message)) == message


def test_the_documented_lines() -> None:
    line = '{"v":2,"id":8,"op":"generate","audio":"/x.wav","fps":30,"style":null,"strength":1,"seed":0,"mesh":null,'
    job = decode_request(line + '"out":"/r.npz","of a later version":[1]}')
    assert job == protocol.Generate(8, "/x.wav", "/r.npz")
    assert isinstance(job, protocol.Generate) and isinstance(job.fps, float)
    blend = decode_request('{"v":2,"id":8,"op":"generate","audio":"/x.wav","out":"/r.npz","blend":[["clear",1]]}')
    assert isinstance(blend, protocol.Generate) and blend.blend == (("clear", 1.0),) and isinstance(blend.blend[0][1], float)
    assert json.loads(encode(protocol.Progress(8, "listening", 0.4))) == {
        "v": 2, "id": 8, "event": "progress", "stage": "listening", "fraction": 0.4,
        "loss": None, "held_out": None,
    }  # fmt: skip


def test_file_names_that_are_not_utf8() -> None:
    name = b"/caf\xe9.wav".decode("utf-8", "surrogateescape")
    job = decode_request(encode(protocol.Generate(1, name, "/o.npz")))
    assert isinstance(job, protocol.Generate) and job.audio == name


@pytest.mark.parametrize("version", [0, 1, 3, "2", None, True])
def test_foreign_versions(version: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_request(json.dumps({"v": version, "id": 5, "op": "hello"}))
    assert caught.value.code == "protocol_version" and caught.value.id == 5 and caught.value.fix
    assert isinstance(caught.value, PTalkerError)


@pytest.mark.parametrize(
    "line",
    [
        "", "garbage", "[]", "1", "null", "{", "\xff", "[" * 100_000, '{"v":2,"id":1}', '{"v":2,"id":1,"op":"dance"}',
        '{"v":2,"id":1,"op":["hello"]}', '{"v":2,"op":"hello"}', '{"v":2,"id":-1,"op":"hello"}',
        '{"v":2,"id":"1","op":"hello"}', '{"v":2,"id":true,"op":"hello"}', '{"v":2,"id":1,"op":"cancel"}',
        '{"v":2,"id":1,"op":"rig","mesh":5,"out":"/o"}', '{"v":2,"id":1,"op":"rig","mesh":null,"out":"/o"}',
        '{"v":2,"id":1,"op":"generate","audio":"/a","out":"/o","fps":"30"}',
        '{"v":2,"id":1,"op":"generate","audio":"/a","out":"/o","fps":NaN}',
        '{"v":2,"id":1,"op":"generate","audio":"/a","out":"/o","seed":1.5}',
        '{"v":2,"id":1,"op":"generate","audio":"/a","out":"/o","vertices":1}',
        '{"v":2,"id":1,"op":"generate","audio":"/a","out":"/o","blend":[["a"]]}',
        '{"v":2,"id":1,"op":"generate","audio":"/a","out":"/o","blend":[["a","b"]]}',
        '{"v":2,"id":1,"op":"finetune","clips":"/a","out":"/o"}',
        '{"v":2,"id":1,"event":"cancelled"}',
        '"' + "x" * protocol.MAX_LINE + '"',
    ],
)  # fmt: skip
def test_lines_that_are_no_request(line: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_request(line)
    assert caught.value.code == "protocol_invalid"


def test_numbers_that_json_does_not_know() -> None:
    with pytest.raises(ValueError):
        encode(protocol.Progress(1, "x", math.nan))


def test_failed_becomes_the_error_it_was() -> None:
    error = protocol.Failed(1, "disk_full", "The disk is full.", "Free some space.").error()
    assert (error.code, error.sentence, error.fix) == ("disk_full", "The disk is full.", "Free some space.")


def test_version_is_two() -> None:
    assert PROTOCOL_VERSION == 2
