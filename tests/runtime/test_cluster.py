"""Engine `ray` on a real cluster of several hosts: the same records, hosts that die, one clear message each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_fixtures import Hosts, hosts, needs_ray
from runtime_blocks import Collect, Compare, Failing, Number, Ramp, Relay, Samples, Scale, Where, seqs

from semstream.runtime import Block, Flowgraph, FlowgraphError, In, RayCluster, Run

pytestmark = [needs_ray, pytest.mark.cluster]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Hosts]:
    with hosts() as found:
        found.add("alpha", 2, gpus=1)
        found.add("beta", 3)
        yield found


def on(cluster: Hosts, **options: Any) -> RayCluster:
    return RayCluster(cluster.address, **options)


def spread_out() -> Flowgraph:
    fg = Flowgraph("spread", seed=3)
    source, sink = fg.add(Ramp(count=120, size=20_000), resources={"alpha": 1}), fg.add(Compare())
    scale = fg.add(Scale(gain=3.0, skip_every=7), replicas=2, resources={"beta": 1})
    fg.connect(source, scale, Relay(), sink.other)
    fg.connect(source, sink.reference)
    return fg


def test_a_cluster_gives_the_records_of_threads(cluster: Hosts) -> None:
    expected = spread_out().run("threads", timeout=60)
    run = spread_out().run(on(cluster), timeout=100)
    assert run.engine == "ray"
    assert run.records == expected.records
    counters = run.counters()["blocks"]
    assert counters["scale"]["frames_in"] == {"samples": 120}
    assert counters["compare"]["drops"] == {"reference: unmatched": 18}


class Host(Block):
    """Sink that tells where it runs."""

    samples = In(Samples)

    def process(self, frame: Any) -> None:
        import ray

        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        self.publish({"host": ray.util.get_node_ip_address(), "pid": os.getpid(), "gpus": gpus})


def test_blocks_run_where_their_resources_are_and_groups_stay_together(cluster: Hosts) -> None:
    fg = Flowgraph()
    source = fg.add(Ramp(count=1))
    where = {
        "on_alpha": fg.add(Host(name="on_alpha"), resources={"alpha": 1, "GPU": 1}),
        "on_beta": fg.add(Host(name="on_beta"), resources={"beta": 1, "CPU": 0.5}),
        "first": fg.add(Host(name="first"), group="branch", resources={"beta": 1}),
        "second": fg.add(Host(name="second"), group="branch"),
        "one": fg.add(Host(name="one"), process="shared"),
        "two": fg.add(Host(name="two"), process="shared"),
    }
    for block in where.values():
        fg.connect(source, block)
    records = fg.run(on(cluster), timeout=100).records
    found = {name: records[name][0] for name in where}
    assert (found["on_alpha"]["host"], found["on_alpha"]["gpus"]) == ("127.0.0.2", "0")
    assert (found["on_beta"]["host"], found["on_beta"]["gpus"]) == ("127.0.0.3", "")
    assert found["first"]["host"] == found["second"]["host"] == "127.0.0.3"
    assert found["first"]["pid"] != found["second"]["pid"]
    assert found["one"]["pid"] == found["two"]["pid"]


def test_settings_change_and_a_stop_ends_it_while_it_runs(cluster: Hosts) -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1, every_s=0.01), Scale(gain=2.0), Number())
    arrived, changed = threading.Event(), threading.Event()

    def on_record(block: str, record: dict[str, Any]) -> None:
        arrived.set()
        if block == "number" and record["seq"] and record["first"] == 5.0 * record["seq"]:
            changed.set()

    with fg.start(on(cluster), on_record) as run:
        assert arrived.wait(60)
        run.set("scale", gain=5.0)
        assert changed.wait(20)
        run.stop()
        assert run.finished
        assert run.failure is None
    got = seqs(run.records["number"])
    assert got == list(range(len(got)))


def start_and_await(fg: Flowgraph, cluster: Hosts, sink: str, count: int) -> Run:
    arrived = threading.Event()

    def on_record(block: str, record: dict[str, Any]) -> None:
        if block == sink and record["seq"] >= count:
            arrived.set()

    run = fg.start(on(cluster), on_record)
    assert arrived.wait(60), run.failure
    return run


def test_a_host_that_dies_ends_the_run_and_is_named(cluster: Hosts) -> None:
    cluster.add("gamma", 4)
    fg = Flowgraph()
    fg.connect(Ramp(count=-1, every_s=0.01), fg.add(Relay(), resources={"gamma": 1}), Number())
    run = start_and_await(fg, cluster, "number", 20)
    cluster.kill("gamma")
    with pytest.raises(
        FlowgraphError, match=r"block 'relay': its (host|process on host) 127\.0\.0\.4 .*(lost|died)"
    ) as got:
        run.wait(60)
    assert got.value.block == "relay"
    seen = seqs(run.records["number"])
    assert seen[:21] == list(range(21))


def test_a_process_that_is_killed_is_started_again_and_what_is_lost_is_counted(cluster: Hosts) -> None:
    count = 1000
    fg = Flowgraph()
    source, scale = Ramp(count=count, every_s=0.004), Scale(gain=2.0)
    fg.add(source, resources={"alpha": 1})
    fg.add(scale, restart="on_failure")
    end = fg.add(Number(), resources={"beta": 1})
    fg.add(where := Where(), restart="on_failure")
    fg.connect(source, scale, where, end)
    run = start_and_await(fg, cluster, "number", 100)
    run.set("scale", gain=3.0)
    pid = run.records["where"][-1]["pid"]
    os.kill(pid, 9)
    run.wait(100)
    seen = run.records["number"]
    numbers = seqs(seen)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == count - 1
    assert len({record["pid"] for record in run.records["where"]}) == 2
    missing = count - len(numbers)
    edges = run.counters()["edges"]
    under_way = sum(n for reason, n in edges["scale.out -> where.samples"]["drops"].items() if "where" in reason)
    lost = sum(n for reason, n in edges["where.out -> number.samples"]["drops"].items() if "lost" in reason)
    assert lost == missing <= 10
    assert under_way >= 1


def test_replicas_of_a_host_that_dies_are_started_again_on_another(cluster: Hosts) -> None:
    cluster.add("delta", 5, resource="spare")
    fg = Flowgraph()
    source = fg.add(Ramp(count=1000, every_s=0.005), resources={"alpha": 1})
    sink = fg.add(Number(), resources={"alpha": 1})
    relay = fg.add(Where(), replicas=2, resources={"spare": 1}, restart="always")
    fg.connect(source, relay, sink)
    run = start_and_await(fg, cluster, "number", 50)
    cluster.add("epsilon", 6, resource="spare")
    before = {record["pid"] for record in run.records["where"]}
    cluster.kill("delta")
    run.wait(100)
    numbers = seqs(run.records["number"])
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 999
    after = {record["pid"] for record in run.records["where"]} - before
    assert (len(before), len(after)) == (2, 2)
    drops = run.counters()["edges"]["ramp.out -> where.samples"]["drops"]
    assert 1 <= sum(n for reason, n in drops.items() if "when it died" in reason) <= 8
    assert len(numbers) >= 990


def test_a_block_that_raises_is_named_with_its_traceback(cluster: Hosts) -> None:
    fg = Flowgraph()
    fg.connect(Ramp(), Failing(at=3), Collect())
    with pytest.raises(FlowgraphError, match=r"block 'failing' failed in process\(\): RuntimeError: broken") as got:
        fg.run(on(cluster), timeout=100)
    assert "in process" in got.value.traceback_text


def test_a_cluster_without_the_resources_says_which_and_how_many(cluster: Hosts) -> None:
    fg = Flowgraph()
    fg.connect(fg.add(Ramp(), resources={"antenna": 2}), fg.add(Collect(), resources={"CPU": 400}))
    with pytest.raises(FlowgraphError) as got:
        fg.run(on(cluster, wait_s=0.5), timeout=60)
    assert "antenna: 2 asked (ramp 2), 0 there" in str(got.value)
    assert "CPU: 400 asked (collect 400)" in str(got.value)
    assert "after waiting 0.5 s" in str(got.value)


def test_a_class_that_the_hosts_cannot_import_is_named(cluster: Hosts) -> None:
    module = types.ModuleType("only_here")
    module.__dict__["Lonely"] = type("Lonely", (Relay,), {"__module__": "only_here", "__qualname__": "Lonely"})
    sys.modules["only_here"] = module
    fg = Flowgraph()
    fg.connect(Ramp(), module.Lonely(), Collect())
    with pytest.raises(FlowgraphError) as got:
        fg.run(on(cluster), timeout=100)
    del sys.modules["only_here"]
    assert "block 'lonely': host" in str(got.value)
    assert "cannot import its class 'Lonely' of module 'only_here'" in str(got.value)
    assert "runtime_env" in str(got.value)
    assert "Traceback" not in str(got.value)


SCRIPT = """
    from semstream.runtime import ANY, Block, Flowgraph, In, Out, RayCluster, live
    import runtime_blocks
    import sys

    class Own(Block):
        into = In(ANY)
        out = Out(like="into")

        def process(self, frame):
            self.publish({"seq": frame.seq})
            return frame

    if __name__ == "__main__":
        if sys.argv[2:]:
            import ray
            ray.__version__ = sys.argv[2]
        graph = Flowgraph()
        graph.connect(runtime_blocks.Ramp(count=5), Own(), runtime_blocks.Collect())
        run = graph.run(engine=RayCluster(sys.argv[1]), timeout=90)
        print(len(run.records["own"]), len(run.records["collect"]))
"""


def run_script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    command = [sys.executable, str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, env=environment, check=False)


def test_blocks_of_the_script_itself_run_on_the_cluster(cluster: Hosts, tmp_path: Path) -> None:
    result = run_script(tmp_path, cluster.address)
    assert result.stdout.split() == ["5", "5"], result.stderr


def test_the_snippet_of_the_readme_runs_as_it_stands(cluster: Hosts, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- test: cluster -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    script = tmp_path / "cluster.py"
    script.write_text(found[1], encoding="utf-8")
    environment = os.environ | {"RAY_ADDRESS": cluster.address}
    command = [sys.executable, str(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=115, env=environment, check=False)
    assert result.stdout == "20 frames\n", result.stderr


def test_another_version_of_ray_is_refused_with_both_versions(cluster: Hosts, tmp_path: Path) -> None:
    result = run_script(tmp_path, cluster.address, "2.1.0")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "cannot be joined: Version mismatch" in last
    assert "2.1.0" in last
