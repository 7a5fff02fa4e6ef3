"""What the measurements have in common: two brokers of which only the measured one runs, load, and what /proc says."""
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
TOOLS = os.environ.get("BENCH_TOOLS", "/tmp/raptormq-bench")
TARGET = os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target")
FILE_BYTES = 1 << 30


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


class Bench:
    """One run: its folder, its tools, its servers. Ends all of them."""

    def __init__(self, flush="async", out=None):
        self.flush = f"{flush.upper()}_FLUSH"
        self.loadgen, self.floor, self.lib = tools()
        self.out = open(out, "a") if out else None
        self.work = tempfile.mkdtemp(prefix="raptormq-bench-")
        self.servers = []
        self.ports = {}
        # Figures count even if other processes disturb them: for a short try.
        self.takes_any = False

    def __enter__(self):
        # Who is told to end ends its servers, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_):
        for server in reversed(self.servers):
            server.stop()
        if self.out:
            self.out.close()
        if "BENCH_KEEP" not in os.environ:
            shutil.rmtree(self.work, ignore_errors=True)

    def serve(self, *arguments, **options):
        server = Server(self.work, *arguments, **options)
        self.servers.append(server)
        return server

    def conf(self, folder, port, namesrv, more=""):
        path = f"{self.work}/{folder}.conf"
        with open(path, "w") as text:
            text.write(f"brokerName=broker-a\nbrokerIP1=127.0.0.1\nlistenPort={port}\nstorePathRootDir={self.work}/{folder}\n"
                       f"namesrvAddr=127.0.0.1:{namesrv}\nflushDiskType={self.flush}\nmappedFileSizeCommitLog={FILE_BYTES}\n"
                       f"mappedFileSizeConsumeQueue=600000\nmaxHashSlotNum=50000\nmaxIndexNum=200000\n{more}")
        return path

    def port(self, who):
        """The same port for the same broker; free, and so is the one two before (the VIP port), the next (replication) and the
        name server's, 1,000 before."""
        if who not in self.ports:
            taken = {port + near for port in self.ports.values() for near in (-2, 0, 1, -1000)}
            candidates = (port for port in range(26911, 60000, 20)
                          if all(port + near not in taken and is_free(port + near) for near in (-2, 0, 1, -1000)))
            self.ports[who] = next(candidates)
        return self.ports[who]

    def start_ours(self, folder="store-ours", more=""):
        """Our broker, and when its start began."""
        port = self.port(folder)
        with open(f"{self.work}/ns-{port}.conf", "w") as text:
            text.write(f"listenPort={port - 1000}\n")
        binary = os.environ.get("RAPTORMQ_BIN", f"{TARGET}/release/raptormq")
        names = self.name_server("ours-namesrv", port - 1000, [binary, "namesrv", "-c", f"{self.work}/ns-{port}.conf"])
        conf = self.conf(folder, port, port - 1000, more)
        began = time.perf_counter()
        return self.serve("ours", port, [binary, "broker", "-c", conf], env={"HOME": self.work}, helpers=[names]), began

    def start_java(self):
        """The Java broker, and when its start began."""
        port = self.port("java")
        os.makedirs(f"{self.work}/java", exist_ok=True)
        env = {"LIB": self.lib, "DATA": f"{self.work}/java", "JAVA_HEAP": "4g", "LOG_FILE_SIZE": str(FILE_BYTES), "FLUSH": self.flush,
               "NS_PORT": str(port - 1000), "BROKER_PORT": str(port)}
        cluster = f"{SHARED}/kit/java-cluster/run.sh"
        names = self.name_server("java-namesrv", port - 1000, [cluster, "namesrv"], env={**env, "JAVA_HEAP": "256m"})
        began = time.perf_counter()
        return self.serve("java", port, [cluster, "broker"], env=env, helpers=[names]), began

    def name_server(self, name, port, command, env=None):
        """One that outlives the brokers that are started again."""
        known = next((server for server in self.servers if server.port == port and server.process.poll() is None), None)
        return known or self.serve(name, port, command, env={"HOME": self.work, **(env or {})}).wait()

    def fill_page_cache(self):
        """Writes a file until half a GiB of memory is free, and keeps it: the page cache is full then, as on any broker's
        machine after some minutes, and whoever writes reuses pages. On a virtual machine the first touch of memory is a fault
        into the host (some 10 µs a page here, three messages), which would be most of what is measured, for all three."""
        chunk = b"x" * (1 << 20)
        with open(f"{self.work}/page-cache", "wb", buffering=0) as file:
            while free_bytes() > 512 << 20 and shutil.disk_usage(self.work).free > 40 << 30:
                for _ in range(64):
                    file.write(chunk)
            os.fsync(file.fileno())

    def load(self, server, beside=(), **options):
        """One measurement of one server, repeated while other processes disturb it. What the processes `beside` it use, such
        as a slave's, is no disturbance; the generator cannot know."""
        words = []
        for key, value in options.items():
            words += [f"--{key}", str(value)]
        for _ in range(1 if self.takes_any else 5):
            if not self.takes_any:
                wait_for_quiet()
            before, began = sum(map(cpu_seconds, beside)), time.perf_counter()
            text = run(self.loadgen, "--json", "--addr", f"127.0.0.1:{server.port}", "--pid", str(server.process.pid), *words,
                       stdout=subprocess.PIPE).stdout
            result = json.loads(text)
            result["beside_cores"] = (sum(map(cpu_seconds, beside)) - before) / (time.perf_counter() - began)
            if self.takes_any or result.get("others_cores", 9) - result["beside_cores"] <= 0.15:
                break
            print(f"{server.name} {options}: disturbed ({result.get('others_cores'):.2f} cores), again", file=sys.stderr)
        bad = {code: count for code, count in result.get("codes", {}).items() if code != "0"} if options.get("mode") != "pull" else {}
        result.update(server=server.name, **{f"cell_{k}": v for k, v in options.items()}, refused=bad)
        self.note(**result)
        return result

    def note(self, **result):
        """Writes a result to the file of results, if there is one."""
        if self.out:
            self.out.write(json.dumps(result) + "\n")
            self.out.flush()

    def cell(self, servers, rounds, **options):
        """Medians of one cell for each server, going round them."""
        found = {server.name: [] for server in servers}
        for _ in range(rounds):
            for server in servers:
                server.tell(signal.SIGCONT)
                found[server.name].append(self.load(server, **options))
                server.tell(signal.SIGSTOP)

        def median(name, get):
            return statistics.median(get(result) for result in found[name])
        return {name: dict(rate=median(name, lambda r: r["per_second"]), p50=median(name, lambda r: r["p50_us"]),
                           p99=median(name, lambda r: r["p99_us"]),
                           cpu=median(name, lambda r: r.get("broker", {}).get("cpu_us_per_msg", 0)),
                           rss=median(name, lambda r: r.get("broker", {}).get("rss_anon_kib", 0)) / 1024) for name in found}


def tools():
    """The load generator, the floor and the Java jars, made when they are missing; and our own binary."""
    run("cargo", "build", "-q", "--release", "--bins", "--examples", "--manifest-path", f"{SHARED}/loadgen/Cargo.toml",
        "--target-dir", f"{TOOLS}/loadgen")
    lib = f"{TOOLS}/java-lib"
    if not os.path.isdir(lib):
        run("mvn", "-q", "-B", "-ntp", "-f", f"{SHARED}/kit/java-cluster/pom.xml", "dependency:copy-dependencies",
            f"-DoutputDirectory={lib}.part")
        os.rename(f"{lib}.part", lib)
    if "RAPTORMQ_BIN" not in os.environ:
        run("cargo", "build", "-q", "--release", cwd=ROOT)
    return f"{TOOLS}/loadgen/release/loadgen", f"{TOOLS}/loadgen/release/examples/floor", lib


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            return True
        except OSError:
            return False


def free_bytes():
    with open("/proc/meminfo") as info:
        return next(int(line.split()[1]) for line in info if line.startswith("MemFree")) << 10


class Server:
    """A process that listens, with its log. Its helpers rest when it does."""

    def __init__(self, work, name, port, command, env=None, helpers=()):
        self.name, self.port, self.helpers = name, port, helpers
        self.path = f"{work}/{name}.log"
        self.log = open(self.path, "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})}, cwd=work,
                                        start_new_session=True)

    def wait(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"{self.name} does not listen on {self.port}; see {self.path}")

    def tell(self, number):
        for server in [self, *self.helpers]:
            if server.process.poll() is None:
                os.killpg(server.process.pid, number)

    def stop(self, number=signal.SIGTERM):
        """Ends the process, not its helpers, and waits for that."""
        if self.process.poll() is not None:
            return
        self.tell(signal.SIGCONT)
        os.killpg(self.process.pid, number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def settle(self, seconds=60):
        """Waits until it writes less than a MiB in a second: until the log files made ahead are there."""
        before = None
        for _ in range(seconds):
            with open(f"/proc/{self.process.pid}/io") as io:
                now = next(int(line.split()[1]) for line in io if line.startswith("write_bytes"))
            if before is not None and now - before < 1 << 20:
                return
            before = now
            time.sleep(1)


def proc(pid, wanted):
    """A size of /proc/PID/status, in MiB."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields[wanted].split()[0]) / 1024


def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
            total += int(stat.read().split()[0])
    return total / 1e9


def busy_cores(seconds):
    def ticks():
        with open("/proc/stat") as stat:
            f = [int(x) for x in stat.readline().split()[1:]]
        return f[0] + f[1] + f[2] + f[5] + f[6] + f[7]
    before = ticks()
    time.sleep(seconds)
    return (ticks() - before) / 100 / seconds


def wait_for_quiet():
    for _ in range(60):
        if busy_cores(1) < 0.1:
            return
    print("the machine does not get quiet; figures of this run are disturbed", file=sys.stderr)


def frame(code, opaque, fields, body=b""):
    header = json.dumps({"code": code, "flag": 0, "language": "OTHER", "opaque": opaque, "version": 479,
                         "serializeTypeCurrentRPC": "JSON", "extFields": fields}).encode()
    return struct.pack(">II", 4 + len(header) + len(body), len(header)) + header + body


def read_answer(stream):
    """Header and body of the next frame."""
    length = struct.unpack(">I", stream.recv(4, socket.MSG_WAITALL))[0]
    data = stream.recv(length, socket.MSG_WAITALL)
    header = struct.unpack(">I", data[:4])[0] & 0xFFFFFF
    return json.loads(data[4:4 + header]), data[4 + header:]


def read_frame(stream):
    """The header of the next frame."""
    return read_answer(stream)[0]


def send_frame(topic, queue=0, properties="", body=b"x" * 1024):
    """SEND_MESSAGE_V2."""
    return frame(310, 1, {"a": "bench", "b": topic, "c": "TBW102", "d": "4", "e": str(queue), "f": "0",
                          "g": str(int(time.time() * 1000)), "h": "0", "i": properties, "j": "0", "k": "false", "m": "false"}, body)


def first_send(server, began):
    """Seconds from the start of the process to its first accepted send."""
    while True:
        try:
            stream = socket.create_connection(("127.0.0.1", server.port), timeout=1)
            stream.sendall(send_frame("FirstSend"))
            stream.settimeout(5)
            if read_frame(stream)["code"] == 0:
                return time.perf_counter() - began
        except (OSError, struct.error):
            pass
        time.sleep(0.001)
