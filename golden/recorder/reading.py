#!/usr/bin/env python3
"""Asks a live broker everything about reading and writes down what it answers: golden/vectors/reading.json.

Usage: reading.py HOST:PORT FILE. The broker must be new: Java 5.3.3 with an empty store, brokerIP1=127.0.0.1 and
nothing else set. What cannot be the same twice is left out: times, ports, sizes, ids.
"""
import json, re, socket, struct, sys

SEND, PULL, QUERY, SEARCH, MAX, MIN, EARLIEST, VIEW, CREATE, CQ = 10, 11, 12, 29, 30, 31, 32, 33, 17, 321
LATER = "4102444800000"


class Broker:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket, self.opaque = socket.create_connection((host, int(port))), 0

    def ask(self, code, fields, body=b""):
        self.opaque += 1
        head = {"code": code, "language": "JAVA", "version": 479, "opaque": self.opaque, "flag": 0, "extFields": fields}
        head = json.dumps(head).encode()
        self.socket.sendall(struct.pack(">ii", 4 + len(head) + len(body), len(head)) + head + body)
        length = struct.unpack(">i", self.read(4))[0]
        frame = self.read(length)
        head_length = struct.unpack(">i", frame[:4])[0] & 0xFFFFFF
        return json.loads(frame[4:4 + head_length]), frame[4 + head_length:]

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data


def send(queue, count=1, tag="A", size=10, key=None):
    properties = f"TAGS\x01{tag}\x02" + (f"KEYS\x01{key}\x02" if key else "")
    fields = {"producerGroup": "p", "topic": "Reading", "defaultTopic": "TBW102", "defaultTopicQueueNums": "8",
              "queueId": str(queue), "sysFlag": "0", "bornTimestamp": "1700000000000", "flag": "0",
              "properties": properties, "reconsumeTimes": "0", "unitMode": "false", "batch": "false"}
    return [{"send": fields, "bytes": size, "times": count}]


def pull(queue, offset, expression="*", count=32, topic="Reading", **more):
    fields = {"consumerGroup": "g", "topic": topic, "queueId": str(queue), "queueOffset": str(offset),
              "maxMsgNums": str(count), "sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0",
              "subscription": expression, "subVersion": "0", "expressionType": "TAG"}
    return [{"code": PULL, "fields": {**fields, **{key: str(value) for key, value in more.items()}}}]


def of_queue(code, queue, topic="Reading", **more):
    return [{"code": code, "fields": {"topic": topic, "queueId": str(queue), **more}}]


def query(key, count=32, begin="0", end=LATER, topic="Reading", **more):
    fields = {"topic": topic, "key": key, "maxNum": str(count), "beginTimestamp": begin, "endTimestamp": end}
    return [{"code": QUERY, "fields": {**fields, **more}}]


def steps():
    yield from send(0, 5)
    yield from send(2, 40)
    yield from send(3, 4, size=100_000)
    yield from send(4, 900)
    yield from send(5, 1, size=300_000)
    yield from send(5, 1)
    yield from send(6, 3, key="k1 k2")
    for offset in [-1, 0, 3, 4, 5, 6, 1 << 40]:
        yield from pull(0, offset)
    for offset in [-1, 0, 3]:
        yield from pull(1, offset)
    for queue in [8, -1]:
        yield from pull(queue, 0)
    yield from pull(0, 0, topic="NoSuchTopic")
    for expression in ["A", "A||B", "B", "", "||"]:
        yield from pull(0, 1, expression)
    for count in [1, 2, 0, -1]:
        yield from pull(0, 0, count=count)
    for count in [10, 32, 100]:
        yield from pull(2, 0, count=count)
    # Smaller numbers have no effect in 5.3.3; here they have, as in later releases.
    yield from pull(3, 0, maxMsgBytes=1 << 30)
    yield from pull(3, 0)
    yield from pull(5, 0)
    yield from pull(5, 0, maxMsgBytes=1)
    for offset in [0, 700, 899]:
        yield from pull(4, offset, "B")
    for code in [MAX, MIN, EARLIEST]:
        for queue, topic in [(0, "Reading"), (1, "Reading"), (9, "Reading"), (0, "NoSuchTopic")]:
            yield from of_queue(code, queue, topic)
    for queue, topic in [(0, "Reading"), (1, "Reading"), (9, "Reading"), (0, "NoSuchTopic")]:
        for boundary in [{}, {"boundaryType": "LOWER"}, {"boundaryType": "UPPER"}, {"boundaryType": "odd"}]:
            for timestamp in ["0", LATER, "-1"]:
                yield from of_queue(SEARCH, queue, topic, timestamp=timestamp, **boundary)
    yield from query("k1")
    yield from query("k2")
    yield from query("k1", 2)
    yield from query("k1", 0)
    yield from query("k1", begin=LATER)
    yield from query("k1", end="1")
    yield from query("k3")
    yield from query("k1", topic="NoSuchTopic")
    yield from query("k1", 1, _UNIQUE_KEY_QUERY="true")
    # An offset in the middle of a record is answered with whatever lies there; not here.
    for offset in [0, -1, 1 << 50]:
        yield {"code": VIEW, "fields": {"topic": "Reading", "offset": str(offset)}}
    for index, count in [(0, 3), (3, 10), (5, 1), (-1, 1), (0, 0)]:
        yield from of_queue(CQ, 0, index=str(index), count=str(count))
    yield from of_queue(CQ, 0, index="0", count="1", consumerGroup="nobody")
    yield from of_queue(CQ, 9, index="0", count="1")
    yield from of_queue(CQ, 0, "NoSuchTopic", index="0", count="1")


def answer(code, head, body):
    fields = {key: value for key, value in (head.get("extFields") or {}).items() if "imestamp" not in key}
    remark = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", head.get("remark") or "")
    # What Java's answers begin with, left there by success.
    remark = "" if remark == "not set any response code" else remark
    kept = {"code": head["code"], "remark": remark, "fields": fields}
    if code == EARLIEST:
        kept["is_minus_one"] = (head.get("extFields") or {}).get("timestamp") == "-1"
    if code == QUERY:
        fields.pop("indexLastUpdatePhyoffset", None)
    if body and code == CQ:
        body = json.loads(body)
        for unit in body.get("queueData") or []:
            unit.pop("physicOffset"), unit.pop("physicSize")
        kept["body"] = body
    elif body:
        kept["messages"] = []
        while body:
            size, _, _, queue, _, offset = struct.unpack(">iiiiiq", body[:28])
            kept["messages"].append([queue, offset])
            body = body[size:]
    return kept


def main():
    broker, recorded = Broker(sys.argv[1]), []
    for step in steps():
        if "send" in step:
            for number in range(step["times"]):
                head, _ = broker.ask(SEND, step["send"], b"x" * step["bytes"])
                assert head["code"] == 0, head
            recorded.append(step)
            continue
        head, body = broker.ask(step["code"], step["fields"])
        recorded.append({**step, "answer": answer(step["code"], head, body)})
    with open(sys.argv[2], "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(step) for step in recorded) + "\n]\n")


main()
