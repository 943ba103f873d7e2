"""Network namespaces: hosts of our own on this machine, with links, routers and nftables of their own. Nothing leaves them."""
import ctypes
import functools
import os
import re
import shutil
import signal
import subprocess

from .bench import program

_count = 0


@functools.lru_cache(maxsize=1)
def unavailable():
    """Why there are no namespaces here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "nft"):
        if not shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            return f"network namespaces need {tool}, which is not installed"
    name = f"mst{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"network namespaces are not to be had here: {made.stderr.strip()}"
    try:
        for command in (["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], ["nft", "add", "table", "ip", "t"]):
            tried = subprocess.run(["ip", "netns", "exec", name, *command], capture_output=True, text=True, check=False)
            if tried.returncode != 0:
                return f"'{' '.join(command)}' does not work here: {tried.stderr.strip()}"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return None


class Host:
    """One namespace."""

    def __init__(self, net, name):
        self.net, self.name = net, name
        self.full = f"ms{os.getpid()}-{net.serial}-{name}"
        _run("ip", "netns", "add", self.full)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *argv, check=True):
        return subprocess.run(["ip", "netns", "exec", self.full, *map(str, argv)], check=check, capture_output=True, text=True)

    def nft(self, *rules):
        subprocess.run(["ip", "netns", "exec", self.full, "nft", "-f", "-"], input="\n".join(rules) + "\n", check=True, text=True,
                       capture_output=True)

    def down(self, interface):
        self.run("ip", "link", "set", interface, "down")

    def up(self, interface):
        self.run("ip", "link", "set", interface, "up")

    def drop(self, *matches, verdict="drop"):
        """What is forwarded here and matches one of these is dropped (or what the verdict says) until undrop."""
        rules = "\n".join(f"{match} counter {verdict}" for match in matches)
        self.nft(f"table ip cut {{\nchain forward {{\ntype filter hook forward priority -10\n{rules}\n}}\n}}")

    def undrop(self):
        """Takes the rules of drop away; returns how many packets they met."""
        listed = self.run("nft", "list", "table", "ip", "cut").stdout
        self.run("nft", "delete", "table", "ip", "cut")
        return sum(int(count) for count in re.findall(r"packets (\d+)", listed))

    def kill_connections(self, *which):
        """ss -K: the kernel aborts the TCP connections of this host that match the filter. Returns how many."""
        return len(re.findall(r"^tcp ", self.run("ss", "-K", *which, check=False).stdout, re.M))

    def readdress(self, interface, old, new, via):
        """The interface has another address (with prefix length), as after a move to another network. old is None: it has none."""
        if old:
            self.run("ip", "addr", "del", old, "dev", interface)
        self.run("ip", "addr", "add", new, "dev", interface)
        self.net.route(self, via)

    def pids(self):
        """The processes that run here."""
        listed = subprocess.run(["ip", "netns", "pids", self.full], check=True, capture_output=True, text=True).stdout
        return [int(pid) for pid in listed.split()]

    def can_connect(self, address, port, seconds=1):
        """A TCP connection from here: does it come about?"""
        code = ("import socket,sys\ns=socket.socket();s.settimeout(%r)\n"
                "try: s.connect((%r,%d))\nexcept OSError as e: sys.exit(str(e))\n" % (seconds, address, port))
        return self.run("/usr/bin/python3", "-c", code, check=False).returncode == 0


class Wide:
    """helpers/wide_link.c between two hosts: delay (ms, one way), loss (percent), rate (Mbit/s), queue (KiB), memory (MiB), mtu, seed: see its --help.
    All hold for each direction by itself. The seed is in its log."""

    LINE = re.compile(r"^(a>b|b>a): carried (\d+) packets, (\d+) bytes; lost (\d+), over the queue (\d+), over the memory (\d+), refused (\d+); "
                      r"at most ([\d.]+) ms late$", re.M)

    def __init__(self, bench, *ends, **settings):
        for host, _ in ends:  # nothing but what is sent on purpose
            host.run("sh", "-c", "echo 1 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6 >/dev/null")
        flags = [word for name, value in settings.items() for word in (f"--{name}", f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else value)]
        self.process = bench.start("wide_link", program("tests/wide_link"), *flags, *(f"{host.full}:{interface}" for host, interface in ends))
        self.seed = int(self.process.wait_log(r"^ready: .* seed (\d+)$").group(1))

    def counts(self):
        """What each direction has carried and lost so far: {"a>b": {"packets": …, "bytes", "lost", "queue", "memory", "refused", "late"}, "b>a": …}"""
        mark = self.process.log_size()
        self.process.send(signal.SIGUSR1)
        self.process.wait_log(r"^b>a: .* late$", since=mark)
        return self.counted(self.process.log(mark))

    def again(self, number=0):
        """Its random numbers begin anew: what is sent now meets the losses that met what was sent first, or, with a number, what was sent after that one."""
        mark = self.process.log_size()
        assert ctypes.CDLL(None).sigqueue(self.process.pid, signal.SIGUSR2, ctypes.c_void_p(number)) == 0
        self.process.wait_log(r"^again$", since=mark)

    @classmethod
    def counted(cls, text):
        names = ("packets", "bytes", "lost", "queue", "memory", "refused")
        return {match[0]: {**dict(zip(names, map(int, match[1:7]))), "late": float(match[7])} for match in cls.LINE.findall(text)}


class Net:
    def __init__(self, bench):
        global _count
        _count += 1
        self.serial = _count
        self.bench = bench
        self.hosts = []
        bench.late_closers.append(self.close)

    def host(self, name):
        host = Host(self, name)
        self.hosts.append(host)
        return host

    def link(self, a, a_interface, a_address, b, b_interface, b_address):
        """A cable between two hosts; addresses with their prefix length."""
        _run("ip", "link", "add", a_interface, "netns", a.full, "type", "veth", "peer", "name", b_interface, "netns", b.full)
        for host, interface, address in ((a, a_interface, a_address), (b, b_interface, b_address)):
            host.run("ip", "addr", "add", address, "dev", interface)
            host.up(interface)

    def wide_link(self, a, a_interface, a_address, b, b_interface, b_address, **settings):
        """A cable with distance: as link, with the settings of Wide. Returns the Wide."""
        wide = Wide(self.bench, (a, a_interface), (b, b_interface), **settings)
        for host, interface, address in ((a, a_interface, a_address), (b, b_interface, b_address)):
            host.run("ip", "addr", "add", address, "dev", interface)
        return wide

    def route(self, host, via, to="default"):
        host.run("ip", "route", "replace", to, "via", via)

    def router(self, host):
        host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")

    def nat(self, host, outside):
        """Masquerades what goes out, and lets nothing in that did not go out first: a home router."""
        self.router(host)
        host.nft(f"""
            table ip nat {{
                chain out {{
                    type nat hook postrouting priority 100
                    oifname "{outside}" masquerade
                }}
            }}
            table ip filter {{
                chain forward {{
                    type filter hook forward priority 0
                    ct state established,related accept
                    iifname "{outside}" drop
                }}
                chain input {{
                    type filter hook input priority 0
                    ct state established,related accept
                    iifname "{outside}" meta l4proto tcp drop
                }}
            }}""")

    def close(self):
        for host in self.hosts:
            subprocess.run(["ip", "netns", "del", host.full], capture_output=True, check=False)
        self.hosts.clear()


def _run(*argv):
    subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True)


def two_homes(net, **wide):
    """user — NAT — internet with the hub — NAT — machine. Returns the hosts by name; the hub is 203.0.113.10. wide: the settings of a Wide,
    which is the machine's leg then, and is among the hosts as "wide"."""
    hosts = {name: net.host(name) for name in ("user", "nat-u", "hub", "nat-m", "machine", "inet")}
    inet = hosts["inet"]
    net.link(hosts["hub"], "eth0", "203.0.113.10/30", inet, "to-hub", "203.0.113.9/30")
    net.link(hosts["nat-u"], "wan", "198.51.100.2/30", inet, "to-u", "198.51.100.1/30")
    machines_leg = (hosts["nat-m"], "wan", "192.0.2.2/30", inet, "to-m", "192.0.2.1/30")
    if wide:
        hosts["wide"] = net.wide_link(*machines_leg, **wide)
    else:
        net.link(*machines_leg)
    net.link(hosts["user"], "eth0", "10.77.1.2/24", hosts["nat-u"], "lan", "10.77.1.1/24")
    # The same private network as the user's, as homes have.
    net.link(hosts["machine"], "eth0", "10.77.1.2/24", hosts["nat-m"], "lan", "10.77.1.1/24")
    net.router(inet)
    net.route(hosts["hub"], "203.0.113.9")
    net.route(hosts["nat-u"], "198.51.100.1")
    net.route(hosts["nat-m"], "192.0.2.1")
    net.route(hosts["user"], "10.77.1.1")
    net.route(hosts["machine"], "10.77.1.1")
    net.nat(hosts["nat-u"], "wan")
    net.nat(hosts["nat-m"], "wan")
    return hosts
