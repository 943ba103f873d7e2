"""Fixtures of the end-to-end tests. MULTISSH_BUILD names the build folder whose programs are driven (default: build)."""
import os
import shutil
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from kit import net as kit_net  # noqa: E402
from kit import proc  # noqa: E402
from kit import builtin as kit_builtin  # noqa: E402
from kit.bench import BUILD, Bench, sanitized  # noqa: E402
from kit.parts import Agent, Hub, Sshd, User  # noqa: E402


def pytest_configure(config):
    # Started in the background by a script, or by nohup, these are ignored, and every program started from here would ignore them too.
    for number, action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, action)
    proc.become_subreaper()
    for key in list(os.environ):
        if key.startswith("SSH_") or key == "DISPLAY":
            del os.environ[key]


def pytest_collection_modifyitems(config, items):
    # The slowest first, so that the parallel workers end together: each worker begins with a run of so many tests (xdist's "load").
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    run = max(len(items) // (4 * workers), 2)
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if not item.get_closest_marker("slow")]
    items.clear()
    for worker in range(workers):
        items += slow[worker::workers]
        some = max(0, run * (worker + 1) - len(items))
        items += others[:some]
        del others[:some]
    items += others


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    bench = item.funcargs.get("bench") if hasattr(item, "funcargs") else None
    if bench is not None and report.failed:
        report.sections.append(("what the processes wrote", bench.logs()))


def run_bench(request, shared):
    missing = [name for name in ("multissh-hub", "multissh-agent", "multissh-front") if not (BUILD / name).exists()]
    if missing and not kit_builtin.REAL and not request.node.get_closest_marker("no_programs"):
        pytest.fail(f"not built in {BUILD}: {', '.join(missing)}; build with make, or say where with MULTISSH_BUILD")
    bench = Bench()
    bench.shared = shared
    yield bench
    complaints = bench.close()
    logs = bench.logs()
    if os.environ.get("MULTISSH_KEEP"):
        print(f"kept: {bench.root}\n{logs}")
    else:
        bench.remove()
    bench.logs = lambda: logs
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def setup(scope, *hub_flags):
    """The usual world: a hub, alice who may use every machine, an admin, and web01, whose sshd lets alice in. For one test, or (scope "module") for a
    whole file whose tests leave it as it was: bench, hub, alice, admin, sshd, web01 = setup("module")."""

    @pytest.fixture(scope=scope)
    def bench(request):
        yield from run_bench(request, scope != "function")

    @pytest.fixture(scope=scope)
    def hub(bench):
        return Hub(bench, *hub_flags)

    @pytest.fixture(scope=scope)
    def alice(bench, hub):
        user = User(bench, "alice").knows(hub)
        hub.add_user(user, 'machines="*"')
        bench.users.append(user)
        return user

    @pytest.fixture(scope=scope)
    def admin(bench, hub):
        user = User(bench, "root-of-hub").knows(hub)
        hub.add_user(user, "admin")
        return user

    @pytest.fixture(scope=scope)
    def sshd(bench):
        return Sshd(bench)

    @pytest.fixture(scope=scope)
    def web01(bench, hub, sshd, alice):
        sshd.allow(alice)
        agent = Agent(bench, hub, "web01", ssh=sshd)
        agent.sshd = sshd
        return agent

    return bench, hub, alice, admin, sshd, web01


bench, hub, alice, admin, sshd, web01 = setup("function")


def worlds(scope="module", kinds=("root", "user")):
    """Worlds for the SSH servers that people log in to (see kit/builtin.py), the tests once in each kind: bench, world = worlds()."""

    @pytest.fixture(scope=scope)
    def bench(request):
        yield from run_bench(request, scope != "function")

    @pytest.fixture(scope=scope, params=kinds)
    def world(request, bench):
        return make_world(bench, request.param)

    return bench, world


# For tests of what only root's server does, in a file that has both worlds.
root_only = pytest.mark.parametrize("world", ["root"], indirect=True, scope="module")


def make_world(bench, kind):
    """One world, or a skip that says why there is none."""
    if not (BUILD / "multissh-sshd").exists() and not kit_builtin.REAL:
        pytest.fail(f"not built in {BUILD}: multissh-sshd")
    why = kit_builtin.unavailable_root() if kind == "root" else kit_builtin.unavailable()
    if why:
        pytest.skip(why)
    return kit_builtin.RootWorld(bench) if kind == "root" else kit_builtin.UserWorld(bench)


@pytest.fixture(autouse=True)
def tidy(request):
    """After a test in a shared world: what it started is ended, and what broke is told with its name."""
    bench = request.getfixturevalue("bench") if "bench" in request.fixturenames else None
    if bench is None or not bench.shared:
        yield
        return
    mark = bench.mark()
    yield
    complaints = bench.close(mark)
    for user in bench.users:
        user.knows(user.hub)
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest.fixture
def net(bench):
    """Network namespaces, or a skip that says why there are none."""
    why = kit_net.unavailable()
    if why:
        pytest.skip(why)
    network = kit_net.Net(bench)
    yield network


# For tests of scripts, and of the tests themselves: the sanitizers have nothing to look at there.
plain_only = pytest.mark.skipif(sanitized(), reason="of what is not compiled; once is enough")


def need(*programs):
    for name in programs:
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")
