#!/usr/bin/env python3
"""Asks a live broker for everything that producers, consumers and tools ask, right and wrong, and writes down what it
answers: golden/vectors/serving.json.

Usage: serving.py HOST:PORT FILE. The broker must be new: Java 5.3.3 with an empty store, brokerIP1=127.0.0.1,
brokerName=broker-a, a name server of its own, and nothing else set. What cannot be the same twice is left out: times,
ports, ids. `differs` says why ours shall answer otherwise; where Java falls over something and answers an exception, it
always may. Each step is a request by one of several clients; `save` keeps the log offset of a message for later steps,
which write it as `$name`; `until` says that the answer may take a while to come true; `changed` lists the groups of
which each client is then told; `meanwhile` lists what others ask while the broker holds the request.
"""
import json, re, socket, struct, sys, time

SEND, PULL, QUERY_OFFSET, UPDATE_OFFSET, CREATE_TOPIC, SET = 10, 11, 14, 15, 17, 25
MAX, MIN, SEARCH, EARLIEST = 30, 31, 29, 32
BEAT, LEAVE, SEND_BACK, MEMBERS, NOTICE, LOCK, UNLOCK = 34, 35, 36, 38, 40, 41, 42
CREATE_GROUP, DELETE_GROUP, DELETE_TOPIC, RESET, STATUS = 200, 207, 215, 222, 223
CORRECT, CLONE, SEND_V2, BATCH, GET_TOPIC, GET_GROUP, FORBID, LITE_PULL = 308, 314, 310, 320, 351, 352, 353, 361
ASSIGN, SET_MODE, MODES = 400, 401, 402
LATER = "4102444800000"
NOW_VERSION = 479
# After so many seconds a pull is held that nothing is found for.
UNTIL_HELD = 0.5


class Client:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket, self.opaque, self.notices = socket.create_connection((host, int(port))), 0, []

    def ask(self, step, values):
        self.say(step, values)
        return self.hear()

    def say(self, step, values):
        self.opaque += 1
        fields = {key: fill(value, values) for key, value in step.get("fields", {}).items()}
        head = {"code": step["code"], "language": step.get("language", "JAVA"), "version": step.get("version", NOW_VERSION),
                "opaque": self.opaque, "flag": 0, "extFields": fields}
        head, body = json.dumps(head).encode(), body_of(step)
        self.socket.sendall(struct.pack(">ii", 4 + len(head) + len(body), len(head)) + head + body)

    def hear(self):
        """The answer to what was said last."""
        while True:
            head, body = self.read()
            if head["opaque"] == self.opaque and head["flag"] & 1:
                return head, body

    def read(self):
        length = struct.unpack(">i", self.exactly(4))[0]
        frame = self.exactly(length)
        head_length = struct.unpack(">i", frame[:4])[0] & 0xFFFFFF
        head, body = json.loads(frame[4:4 + head_length]), frame[4 + head_length:]
        if not head["flag"] & 1 and head["code"] == NOTICE:
            self.notices.append(head["extFields"]["consumerGroup"])
        return head, body

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def take_notices(self):
        self.socket.settimeout(0.4)
        try:
            while True:
                self.read()
        except socket.timeout:
            pass
        self.socket.settimeout(None)
        taken, self.notices = self.notices, []
        return taken


def fill(value, values):
    return str(values[value[1:]]) if value.startswith("$") else value


def body_of(step):
    if "json" in step:
        return json.dumps(step["json"]).encode()
    if "inner" in step:
        return b"".join(inner(text.encode()) for text in step["inner"])
    return step["text"].encode() if "text" in step else b"x" * step.get("bytes", 0)


def inner(body):
    return struct.pack(">iiiii", 22 + len(body), 0, 0, 0, len(body)) + body + struct.pack(">h", 0)


def ask(code, json=None, client=0, **fields):
    step = {"code": code, "client": client}
    for key in ["text", "bytes", "inner", "version", "language", "save", "until", "changed", "differs"]:
        if key in fields:
            step[key] = fields.pop(key)
    if json is not None:
        step["json"] = json
    return {**step, "fields": {key: str(value) for key, value in fields.items()}}


def settings(**changes):
    """Settings by request: what is asked next is answered under them."""
    return ask(SET, text="\n".join(f"{key}={value}" for key, value in changes.items()))


def properties(**entries):
    return "".join(f"{key}\x01{value}\x02" for key, value in entries.items())


def send(topic, queue=0, code=SEND, text="x", **more):
    fields = {"producerGroup": "p", "topic": topic, "defaultTopic": "TBW102", "defaultTopicQueueNums": 4, "queueId": queue,
              "sysFlag": 0, "bornTimestamp": 1700000000000, "flag": 0, "properties": properties(UNIQ_KEY="k"),
              "reconsumeTimes": 0, "unitMode": "false", "batch": "false"}
    if "bytes" not in more and "inner" not in more:
        more["text"] = text
    fields.update(more)
    return ask(code, **{key: value for key, value in fields.items() if value is not None})


def without(name, step):
    return {**step, "fields": {key: value for key, value in step["fields"].items() if key != name}}


SHORT = {"producerGroup": "a", "topic": "b", "defaultTopic": "c", "defaultTopicQueueNums": "d", "queueId": "e",
         "sysFlag": "f", "bornTimestamp": "g", "flag": "h", "properties": "i", "reconsumeTimes": "j", "unitMode": "k",
         "maxReconsumeTimes": "l", "batch": "m"}


def send_short(topic, code=SEND_V2, **more):
    step = send(topic, code=code, **more)
    step["fields"] = {SHORT[key]: value for key, value in step["fields"].items()}
    return step


def pull(topic, group="g", queue=0, offset=0, flags=4, code=PULL, **more):
    fields = {"consumerGroup": group, "topic": topic, "queueId": queue, "queueOffset": offset, "maxMsgNums": 32,
              "sysFlag": flags, "commitOffset": 0, "suspendTimeoutMillis": 0, "subscription": "*", "subVersion": 0,
              "expressionType": "TAG"}
    fields.update(more)
    return ask(code, **{key: value for key, value in fields.items() if value is not None})


def topic(name, read=4, write=4, perm=6, **more):
    fields = {"topic": name, "defaultTopic": "TBW102", "readQueueNums": read, "writeQueueNums": write, "perm": perm,
              "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": "false"}
    return ask(CREATE_TOPIC, **{**fields, **more})


def group(name, **more):
    return ask(CREATE_GROUP, json={"groupName": name, **more})


def beat(client, *groups, producers=(), changed=None, fingerprint=0, bare=False, name=None, **more):
    data = {"clientID": name or f"c{client}", "heartbeatFingerprint": fingerprint, "withoutSub": bare,
            "producerDataSet": [{"groupName": producer} for producer in producers],
            "consumerDataSet": [{**member, **more} for member in groups]}
    return ask(BEAT, json=data, client=client, **({} if changed is None else {"changed": changed}))


def member(group, *topics, version=7, model="CLUSTERING", kind="CONSUME_PASSIVELY", unit=False):
    subscription = lambda topic: {"topic": topic, "subString": "*", "subVersion": version, "expressionType": "TAG",
                                  "classFilterMode": False, "codeSet": [], "tagsSet": []}
    return {"groupName": group, "consumeType": kind, "messageModel": model, "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
            "subscriptionDataSet": [subscription(topic) for topic in topics], "unitMode": unit}


def leave(client, group, changed=None):
    more = {} if changed is None else {"changed": changed}
    return ask(LEAVE, client=client, clientID=f"c{client}", consumerGroup=group, producerGroup=group, **more)


def sends():
    yield send("New")
    yield ask(GET_TOPIC, topic="New")
    yield send("New", 3)
    yield send_short("New", queueId=1)
    for queue in [4, 5, 2147483647]:
        yield send("New", queue)
    for number in [0, 1, 100, -1]:
        name, differs = f"Queues{number}".replace("-", "m"), {} if number > 0 else {"differs": "a topic has a queue"}
        yield send(name, defaultTopicQueueNums=number, **differs)
        yield ask(GET_TOPIC, topic=name, **differs)
    for default in ["NoSuchTopic", "SELF_TEST_TOPIC", "broker-a", "New", ""]:
        yield send("Unheard", defaultTopic=default)
    for name in ["", " ", "Bad Topic!", "a/b", "T" * 127, "T" * 128, "%RETRY%" + "g" * 249, "%DLQ%" + "g" * 251]:
        yield send(name)
    for name in ["SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC", "SELF_TEST_TOPIC",
                 "TRANS_CHECK_MAX_TIME_TOPIC", "OFFSET_MOVED_EVENT", "TBW102", "CHECKPOINT_TOPIC", "DefaultCluster"]:
        yield send(name)
    for name, perm in [("ReadOnly", 4), ("Closed", 0), ("WriteOnly", 2)]:
        yield topic(name, perm=perm)
        yield send(name)
    yield topic("Uneven", read=2, write=6)
    yield topic("Uneven2", read=6, write=2)
    for name in ["Uneven", "Uneven2"]:
        for queue in [1, 5, 6]:
            yield send(name, queue)
    yield topic("Lone", read=1, write=1)
    for queue in [-1, -2147483648]:
        yield send("Lone", queue)
    yield topic("Ordered", order="true")
    yield settings(brokerPermission=4)
    yield send("Ordered")
    yield send("New")
    yield settings(brokerPermission=6)
    yield send("Ordered")
    yield settings(startAcceptSendRequestTimeStamp=LATER)
    yield send("New")
    yield send("")
    yield settings(startAcceptSendRequestTimeStamp=0)
    yield send("New", bytes=0)
    yield send("New", bytes=4 * 1024 * 1024 + 1)
    yield send("New", properties=properties(K="v" * 40000))
    for name in ["producerGroup", "topic", "defaultTopic", "queueId", "sysFlag", "properties", "reconsumeTimes", "unitMode"]:
        yield without(name, send(f"Without{name}"))
    for name in ["queueId", "bornTimestamp"]:
        yield send(f"Odd{name}", **{name: "no number"})


def retries():
    yield send("%RETRY%nobody")
    yield settings(autoCreateSubscriptionGroup="false")
    yield send("%RETRY%stranger")
    yield send("%RETRY%CID_RMQ_SYS_X")
    yield settings(autoCreateSubscriptionGroup="true")
    yield group("tries", retryMaxTimes=2)
    for times in [0, 2, 3]:
        yield send("%RETRY%tries", reconsumeTimes=times)
    yield ask(GET_TOPIC, topic="%RETRY%tries")
    yield ask(GET_TOPIC, topic="%DLQ%tries")
    yield send("%RETRY%tries", reconsumeTimes=3, maxReconsumeTimes=9)
    yield send("%RETRY%tries", reconsumeTimes=1, maxReconsumeTimes=0)
    yield send("%RETRY%tries", reconsumeTimes=3, maxReconsumeTimes=9, version=120)
    yield send("%RETRY%tries", reconsumeTimes=2, maxReconsumeTimes=-1)
    yield pull("%DLQ%tries", count=32)
    # Who locks queues consumes in order: what it gives up is tried no more.
    locks = {"consumerGroup": "tries", "clientId": "c0", "mqSet": [{"topic": "New", "brokerName": "broker-a", "queueId": 0}]}
    yield ask(LOCK, json=locks)
    yield send("%RETRY%tries")
    yield ask(UNLOCK, json=locks)
    yield send("%RETRY%tries")
    yield pull("%DLQ%tries", count=32)
    yield send("%RETRY%unit", unitMode="true")
    yield ask(GET_TOPIC, topic="%RETRY%unit")
    yield send("Unit", unitMode="true")
    yield ask(GET_TOPIC, topic="Unit")


def kinds():
    half = {"sysFlag": 4, "properties": properties(UNIQ_KEY="k", TRAN_MSG="true", PGROUP="p")}
    yield settings(rejectTransactionMessage="true")
    yield send("New", **half)
    yield send("New", reconsumeTimes=1, properties=properties(UNIQ_KEY="k", TRAN_MSG="true", DELAY="1"))
    yield send("New", properties=properties(UNIQ_KEY="k", TRAN_MSG="true", DELAY="1"))
    yield send("New", properties=properties(UNIQ_KEY="k", TRAN_MSG="false"))
    yield settings(rejectTransactionMessage="false")
    yield send("New", **half)
    yield topic("Compact", attributes="+cleanup.policy=COMPACTION")
    yield send("Compact")
    yield send("Compact", properties=properties(KEYS=""))
    yield topic("Plain", attributes="+cleanup.policy=DELETE")
    yield send("Plain")
    for level in [1, 18, 19, 0, -1, "x"]:
        yield send("New", properties=properties(UNIQ_KEY="k", DELAY=level))
    # Batches that stay together, and what only looks like one.
    yield send("New", properties=properties(UNIQ_KEY="k", INNER_NUM="1"))
    for flag in [128, 128 + 4]:
        yield send("New", sysFlag=flag)
        yield send("New", sysFlag=flag, properties=properties(UNIQ_KEY="k", INNER_NUM="1"))
    batch = lambda name, **more: send_short(name, code=BATCH, batch="true", **more)
    yield send("New", code=BATCH, inner=["one", "two"], batch="true")
    yield topic("Batch")
    yield batch("Batch", inner=["one", "two"], properties=properties())
    yield batch("Batch", inner=["one", "two"])
    yield batch("Batch", inner=["one"])
    yield batch("Batch", text="")
    yield batch("Batch", text="no batch at all")
    yield topic("Single", read=1, write=1)
    yield batch("Single", inner=["one", "two"], queueId=-1)
    for name in ["%RETRY%tries", "%RETRY%nobody", "T" * 128, "", "SCHEDULE_TOPIC_XXXX"]:
        yield batch(name, inner=["one"])


def send_backs():
    back = lambda **more: ask(SEND_BACK, **{"offset": "$given", "group": "backs", "delayLevel": 0, "originMsgId": "o",
                                            "originTopic": "Back", "unitMode": "false", **more})
    yield {**send("Back"), "save": "given"}
    yield settings(autoCreateSubscriptionGroup="false")
    yield back()
    yield settings(autoCreateSubscriptionGroup="true")
    yield settings(brokerPermission=4)
    yield back()
    yield settings(brokerPermission=6)
    yield group("norepeat", retryQueueNums=0)
    yield back(group="norepeat")
    yield back(offset=-1)
    yield back(offset=1 << 40)
    yield back(offset="x")
    yield back(delayLevel=-1)
    yield ask(GET_TOPIC, topic="%DLQ%backs")
    yield pull("%DLQ%backs", group="backs")
    yield back(maxReconsumeTimes=0)
    yield pull("%DLQ%backs", group="backs")
    yield back(maxReconsumeTimes=0, version=120)
    yield back(delayLevel=99)
    yield back(unitMode="true", group="unitbacks", delayLevel=3)
    yield ask(GET_TOPIC, topic="%RETRY%unitbacks")
    yield group("many", retryQueueNums=3)
    yield back(group="many")
    yield ask(GET_TOPIC, topic="%RETRY%many")
    yield topic("%RETRY%readonly", perm=4)
    yield group("readonly")
    yield back(group="readonly")
    for name in ["offset", "group", "delayLevel", "originMsgId", "unitMode"]:
        yield without(name, back())


def pulls():
    yield topic("Pulled", read=2, write=2)
    yield send("Pulled")
    yield settings(brokerPermission=2)
    yield pull("Pulled")
    yield pull("Pulled", code=LITE_PULL)
    yield settings(brokerPermission=6, litePullMessageEnable="false")
    yield pull("Pulled", code=LITE_PULL)
    yield settings(litePullMessageEnable="true", autoCreateSubscriptionGroup="false")
    yield pull("Pulled", code=LITE_PULL)
    yield pull("Pulled", group="stranger")
    yield pull("NoSuchTopic", group="stranger")
    yield settings(autoCreateSubscriptionGroup="true")
    yield pull("Pulled", group="bad group")
    yield group("stopped", consumeEnable=False)
    yield pull("Pulled", group="stopped")
    yield pull("NoSuchTopic", group="stopped")
    yield pull("NoSuchTopic")
    yield pull("WriteOnly")
    for queue in [2, -1, 2147483647]:
        yield pull("Pulled", queue=queue)
    yield pull("Pulled", subscription="||")
    yield pull("Pulled", subscription=None)
    yield pull("Pulled", subscription="a > 1", expressionType="SQL92")
    yield pull("Pulled", subscription="a", expressionType="ODD")
    yield pull("Pulled", expressionType=None)
    # Without a subscription of its own.
    yield pull("Pulled", group="offline", flags=0)
    yield beat(1, member("online", "Pulled"), changed={"1": ["online"]})
    yield pull("Pulled", group="online", flags=0)
    yield pull("New", group="online", flags=0)
    for version in [7, 8]:
        yield pull("Pulled", group="online", flags=0, subVersion=version)
    yield ask(FORBID, group="online", topic="Pulled", readable="false")
    yield pull("Pulled", group="online", flags=0)
    yield pull("Pulled", group="online")
    yield ask(FORBID, group="online", topic="Pulled", readable="true")
    yield pull("Pulled", group="online", flags=0)
    yield group("shy", consumeBroadcastEnable=False)
    yield beat(1, member("shy", "Pulled", model="BROADCASTING"), changed={"1": []})
    yield pull("Pulled", group="shy", flags=0)
    yield pull("Pulled", group="shy")
    for flags in [5, 1]:
        yield pull("Pulled", group="online", flags=flags, commitOffset=1)
        yield ask(QUERY_OFFSET, consumerGroup="online", topic="Pulled", queueId=0)
    yield leave(1, "online", changed={"1": []})
    yield leave(1, "shy", changed={"1": []})
    for name in ["consumerGroup", "topic", "queueId", "queueOffset", "maxMsgNums", "sysFlag", "commitOffset",
                 "suspendTimeoutMillis", "subVersion"]:
        yield without(name, pull("Pulled"))


def holds():
    """Pulls that wait for messages."""
    wait = lambda *meanwhile, timeout=0, flags=6, **more: {
        **pull("Held", **{"group": "waits", "client": 1, "flags": flags,
                          "suspendTimeoutMillis": timeout or (20000 if meanwhile else 300), **more}),
        **({"meanwhile": list(meanwhile)} if meanwhile else {})}
    tagged = lambda tag: send("Held", properties=properties(UNIQ_KEY="k", TAGS=tag))
    yield topic("Held", read=2, write=2)
    yield group("waits")
    yield wait()
    yield wait(send("Held"))
    yield wait(offset=1)
    yield wait(send("Held"), offset=1)
    yield wait(send("Held"), offset=2, code=LITE_PULL)
    for offset in [-1, 9]:
        yield wait(offset=offset)
    yield wait(offset=0, subscription="A")
    yield wait(offset=3, flags=4)
    # Only what it wants wakes it.
    yield wait(tagged("B"), tagged("A"), offset=3, subscription="A")
    yield wait(tagged("B"), offset=5, subscription="A", timeout=1000)
    # Another queue is nothing to it.
    yield wait(send("Held", 1), offset=6, timeout=1000)
    yield wait(send("Held"), offset=6, flags=7, commitOffset=2)
    yield ask(QUERY_OFFSET, consumerGroup="waits", topic="Held", queueId=0)
    # What was changed meanwhile counts.
    yield wait(settings(brokerPermission=2), send("Held"), offset=7)
    yield settings(brokerPermission=6)
    yield wait(group("waits", consumeEnable=False), send("Held"), offset=8)
    yield wait(offset=9)
    yield group("waits")
    yield wait(ask(FORBID, group="waits", topic="Held", readable="false"), send("Held"), offset=9)
    yield ask(FORBID, group="waits", topic="Held", readable="true")
    yield wait(topic("Held", read=2, write=2, perm=2), send("Held"), offset=10)
    yield topic("Held", read=1, write=1)
    yield wait(offset=1, queue=1)
    yield topic("Held", read=2, write=2)
    yield wait(topic("Held", read=1, write=1), offset=1, queue=1, timeout=1000)
    yield topic("Held", read=2, write=2)
    # They look again after a second.
    yield settings(longPollingEnable="false")
    yield wait(offset=11)
    yield wait(send("Held"), offset=11)
    yield settings(longPollingEnable="true")
    yield wait(ask(DELETE_TOPIC, topic="Held"), offset=12, timeout=1000)


def members():
    yield ask(MEMBERS, consumerGroup="team")
    yield beat(1, member("team", "New"), changed={"1": ["team"]})
    yield beat(1, member("team", "New"), changed={"1": []})
    yield beat(2, member("team", "New"), changed={"1": ["team"], "2": ["team"]})
    yield ask(MEMBERS, consumerGroup="team")
    # A newer subscription of a known topic is nothing to tell; a topic that comes or goes is.
    yield beat(2, member("team", "New", version=9), changed={"1": [], "2": []})
    yield beat(2, member("team", "New", "Pulled"), changed={"1": ["team"], "2": ["team"]})
    yield beat(2, member("team", "New"), changed={"1": ["team"], "2": ["team"]})
    yield ask(203, consumerGroup="team")
    yield ask(345, group="team", topic="New")
    yield ask(345, group="team", topic="Pulled")
    yield leave(2, "team", changed={"1": ["team"], "2": []})
    yield {**leave(2, "team", changed={"1": ["team"], "2": []}), "differs": "who was not there leaves nobody"}
    yield leave(2, "nobody", changed={"1": [], "2": []})
    # Another name on the same connection.
    yield {**beat(1, member("team", "New"), name="other", changed={"1": []}), "differs": "names share out the queues"}
    yield ask(MEMBERS, consumerGroup="team")
    # Groups that broadcast are not told, nor those that do not want to be.
    yield beat(1, member("loud", "New", model="BROADCASTING"), changed={"1": []})
    yield beat(2, member("loud", "New", model="BROADCASTING"), changed={"1": [], "2": []})
    yield leave(2, "loud", changed={"1": [], "2": []})
    yield group("quiet", notifyConsumerIdsChangedEnable=False)
    yield beat(1, member("quiet", "New"), changed={"1": []})
    yield beat(2, member("quiet", "New"), changed={"1": [], "2": []})
    yield leave(2, "quiet", changed={"1": [], "2": []})
    yield settings(notifyConsumerIdsChangedEnable="false")
    yield beat(2, member("team", "New"), changed={"1": [], "2": []})
    yield settings(notifyConsumerIdsChangedEnable="true")
    yield leave(2, "team", changed={"1": ["team"], "2": []})
    # Groups that are not made by themselves have no members.
    yield settings(autoCreateSubscriptionGroup="false")
    yield beat(1, member("unmade", "New"), changed={"1": []})
    yield ask(MEMBERS, consumerGroup="unmade")
    yield ask(GET_TOPIC, topic="%RETRY%unmade")
    yield settings(autoCreateSubscriptionGroup="true")
    yield settings(rejectPullConsumerEnable="true")
    yield beat(1, member("pulling", "New", kind="CONSUME_ACTIVELY"), changed={"1": []})
    yield ask(MEMBERS, consumerGroup="pulling")
    yield settings(rejectPullConsumerEnable="false")
    # The retry topic of a group is as the group is.
    yield beat(1, member("inorder", "Ordered"), changed={"1": ["inorder"]})
    yield ask(GET_TOPIC, topic="%RETRY%inorder")
    yield beat(1, member("inorder", "New"), changed={"1": ["inorder"]})
    yield ask(GET_TOPIC, topic="%RETRY%inorder")
    yield beat(1, member("inunit", "New", unit=True), changed={"1": ["inunit"]})
    yield ask(GET_TOPIC, topic="%RETRY%inunit")
    yield group("manyretries", retryQueueNums=3)
    yield beat(1, member("manyretries", "New"), changed={"1": ["manyretries"]})
    yield ask(GET_TOPIC, topic="%RETRY%manyretries")
    yield ask(GET_GROUP, group="inunit")
    yield beat(1, producers=["makers"])
    yield ask(204, producerGroup="makers")
    yield ask(204, producerGroup="nobody")
    yield ask(203, consumerGroup="nobody")
    yield leave(1, "makers")
    yield ask(204, producerGroup="makers")
    yield ask(BEAT, text="no heartbeat")
    # The second form: a fingerprint, and without subscriptions when they are known.
    yield beat(1, member("v2", "New"), fingerprint=5, changed={"1": ["v2"]})
    yield beat(1, member("v2"), fingerprint=5, bare=True, changed={"1": []})
    yield beat(2, member("v2", "New"), fingerprint=5, changed={"1": ["v2"], "2": ["v2"]})
    yield beat(2, member("v2", "New", "Pulled"), fingerprint=6, changed={"1": ["v2"], "2": ["v2"]})
    yield beat(1, member("v2"), fingerprint=5, bare=True, changed={"1": [], "2": []})
    yield beat(1, member("v2"), fingerprint=5, bare=True, changed={"1": [], "2": []})
    yield ask(345, group="v2", topic="Pulled")
    yield beat(1, member("v2", "New"), changed={"1": ["v2"], "2": ["v2"]})
    yield beat(1, member("v2"), fingerprint=5, bare=True, changed={"1": [], "2": []})
    yield leave(1, "v2", changed={"1": [], "2": ["v2"]})
    yield leave(2, "v2", changed={"1": [], "2": []})
    for name in ["quiet", "team", "loud", "inorder", "inunit", "manyretries"]:
        yield leave(1, name)


def topics():
    for name in ["", " ", "Bad Topic!", "T" * 128, "TBW102", "SELF_TEST_TOPIC", "DefaultCluster", "rmq_sys_X"]:
        yield topic(name)
    yield topic("Odd", topicFilterType="MULTI_TAG", topicSysFlag=3, order="true")
    yield ask(GET_TOPIC, topic="Odd")
    yield topic("Odd", topicFilterType="NONSENSE")
    yield ask(GET_TOPIC, topic="NoSuchTopic")
    for attributes in ["+message.type=FIFO", "+message.type=FIFO", "+message.type=fifo", "+message.type=", "+message.type",
                       "message.type=FIFO", "+odd.key=1", "+message.type=MIXED", "+reserve.time=-2", "+reserve.time=x",
                       "+reserve.time=100", "+queue.type=BatchCQ", "-message.type", "-message.type", "-odd.key", "-",
                       "+", "=", "+=", "+cleanup.policy=DELETE,+message.type=NORMAL", "+message.type=FIFO,+message.type=NORMAL", "", ",",
                       "+cleanup.policy=COMPACTION", "-reserve.time", "+reserve.time=-1"]:
        yield topic("Attributes", attributes=attributes)
        yield ask(GET_TOPIC, topic="Attributes")
    for number, attributes in enumerate(["+message.type=FIFO", "-message.type", "+queue.type=BatchCQ", "+reserve.time=-1",
                                         "+odd.key=1", "message.type=FIFO", "+cleanup.policy=COMPACTION",
                                         "+queue.type=x", "+cleanup.policy=x", "+message.type=x", "+queue.type=SimpleCQ"]):
        yield topic(f"Fresh{number}", attributes=attributes)
        yield ask(GET_TOPIC, topic=f"Fresh{number}")
    yield topic("Gone")
    yield send("Gone")
    for name in ["Gone", "Gone", "", "TBW102", "SELF_TEST_TOPIC"]:
        yield ask(DELETE_TOPIC, topic=name)
    yield ask(DELETE_TOPIC, topic="Bad Topic!", differs="a topic cannot have that name")
    yield ask(GET_TOPIC, topic="Gone")
    for name in ["topic", "perm", "order", "readQueueNums", "topicFilterType", "defaultTopic"]:
        yield without(name, topic("Missing"))


def groups():
    yield ask(GET_GROUP, group="NoSuchGroup")
    for name in ["Bad Group!", "", " ", "g" * 121, "g" * 256]:
        yield {**group(name), "differs": "a group cannot have that name"}
    yield group("kept", retryMaxTimes=3, retryQueueNums=2, brokerId=1, whichBrokerWhenConsumeSlowly=2,
                consumeTimeoutMinute=5, groupSysFlag=3, consumeMessageOrderly=True)
    yield ask(GET_GROUP, group="kept")
    yield group("kept", attributes={"+a": "b"})
    yield group("kept", attributes={"a": "b"})
    yield group("kept", attributes={"-a": "b"})
    yield group("newer", attributes={"-a": "b"})
    yield ask(GET_GROUP, group="newer")
    yield ask(CREATE_GROUP, text="no group")
    yield ask(CREATE_GROUP)
    yield ask(FORBID, group="kept", topic="New")
    yield ask(FORBID, group="kept", topic="New", readable="false")
    yield ask(FORBID, group="NoSuchGroup", topic="New", readable="false")
    yield ask(FORBID, group="kept", topic="NoSuchTopic", readable="false")
    yield ask(UPDATE_OFFSET, consumerGroup="kept", topic="New", queueId=0, commitOffset=1)
    yield ask(DELETE_GROUP, groupName="kept", cleanOffset="false")
    yield ask(QUERY_OFFSET, consumerGroup="kept", topic="New", queueId=0)
    yield group("kept")
    yield ask(FORBID, group="kept", topic="New")
    yield ask(DELETE_GROUP, groupName="kept", cleanOffset="true")
    yield ask(QUERY_OFFSET, consumerGroup="kept", topic="New", queueId=0, setZeroIfNotFound="false")
    yield ask(DELETE_GROUP, groupName="NoSuchGroup")
    yield ask(DELETE_GROUP)


def offsets():
    query = lambda topic="Offsets", queue=0, name="far", **more: ask(QUERY_OFFSET, consumerGroup=name, topic=topic,
                                                                      queueId=queue, **more)
    update = lambda offset=1, topic="Offsets", queue=0, name="far", **more: ask(
        UPDATE_OFFSET, consumerGroup=name, topic=topic, queueId=queue, commitOffset=offset, **more)
    yield topic("Offsets")
    yield group("far")
    for _ in range(5):
        yield send("Offsets")
    for zero in [{}, {"setZeroIfNotFound": "true"}, {"setZeroIfNotFound": "false"}]:
        yield query(**zero)
    yield query(queue=9)
    yield query(queue=-1)
    yield query(topic="NoSuchTopic")
    yield query(name="NoSuchGroup")
    yield settings(autoCreateSubscriptionGroup="false")
    yield update(name="stranger")
    yield settings(autoCreateSubscriptionGroup="true")
    yield update(topic="NoSuchTopic")
    yield update(topic="NoSuchTopic", name="bad group")
    for name in ["queueId", "commitOffset", "topic"]:
        yield without(name, update())
    for offset in [3, 1, 100, 0, -1]:
        yield update(offset)
        yield query()
    yield query(setZeroIfNotFound="false")
    yield update(2, queue=3)
    yield query(queue=3)
    for code in [MAX, MIN, EARLIEST]:
        for queue in [0, 3, 9]:
            yield ask(code, topic="Offsets", queueId=queue)
        yield ask(code, topic="NoSuchTopic", queueId=0)
    # Offsets go with their topic.
    yield update(4)
    yield ask(DELETE_TOPIC, topic="Offsets")
    yield query()
    yield query(setZeroIfNotFound="false")
    yield topic("Offsets")
    yield query(setZeroIfNotFound="false")
    for _ in range(5):
        yield send("Offsets")
    # Other groups: the smallest offset, and one taken over.
    for name, offset in [("first", 2), ("second", 4)]:
        yield group(name)
        yield update(offset, name=name)
    correct = lambda **more: ask(CORRECT, **{"topic": "Offsets", "filterGroups": "x", "compareGroup": "x", **more})
    yield correct()
    yield correct(compareGroup="first")
    yield correct(compareGroup="second")
    yield correct(compareGroup="NoSuchGroup")
    yield correct(topic="NoSuchTopic")
    clone = lambda **more: ask(CLONE, **{"srcGroup": "first", "destGroup": "third", "topic": "Offsets", "offline": "false",
                                         **more})
    yield clone()
    yield query(name="third", setZeroIfNotFound="false")
    yield clone(topic="NoSuchTopic", destGroup="fourth")
    yield clone(srcGroup="NoSuchGroup", destGroup="fourth")
    yield query(name="fourth", setZeroIfNotFound="false")


def resets():
    reset = lambda name="reset", topic="Reset", time=0, **more: ask(RESET, **{"group": name, "topic": topic,
                                                                              "timestamp": time, "isForce": "true", **more})
    query = lambda queue=0, name="reset": ask(QUERY_OFFSET, consumerGroup=name, topic="Reset", queueId=queue)
    yield topic("Reset", read=2, write=2)
    yield group("reset")
    for _ in range(6):
        yield send("Reset")
    yield ask(UPDATE_OFFSET, consumerGroup="reset", topic="Reset", queueId=0, commitOffset=4)
    for on_broker in ["true", "false"]:
        yield settings(useServerSideResetOffset=on_broker)
        yield reset(topic="NoSuchTopic")
        yield reset(name="NoSuchGroup")
        yield reset()
        yield reset(time=-1)
        yield reset(time=LATER)
        yield reset(queueId=0, offset=2)
        yield reset(queueId=0, offset=-1)
        yield reset(queueId=1, offset=0)
        yield reset(queueId=9, offset=0, **({"differs": "there is no such queue"} if on_broker == "true" else {}))
        yield reset(queueId=0, offset=99)
        yield reset(queueId=0, offset=7)
        yield query()
        # The group's next pull is told, once; what it commits before does not count.
        yield ask(UPDATE_OFFSET, consumerGroup="reset", topic="Reset", queueId=0, commitOffset=3)
        yield pull("Reset", group="reset", offset=5)
        yield pull("Reset", group="reset", offset=5)
        yield query()
    yield ask(UPDATE_OFFSET, consumerGroup="reset", topic="Reset", queueId=0, commitOffset=4)
    yield ask(UPDATE_OFFSET, consumerGroup="reset", topic="Reset", queueId=1, commitOffset=0)
    yield beat(1, member("reset", "Reset"), changed={"1": ["reset"]})
    yield reset()
    yield reset(time=LATER, isForce="false")
    yield beat(1, member("reset", "Reset"), changed={"1": []})
    yield leave(1, "reset")
    yield settings(useServerSideResetOffset="true")
    yield ask(STATUS, topic="Reset", group="reset")
    yield ask(STATUS, topic="Reset", group="NoSuchGroup")


def shares():
    query = lambda client=1, name="share", topic="Shared", model="CLUSTERING", strategy="AVG", **more: ask(
        ASSIGN, json={"topic": topic, "consumerGroup": name, "clientId": f"c{client}", "strategyName": strategy,
                      "messageModel": model}, **more)
    mode = lambda topic="Shared", name="share", mode="PULL", **more: ask(
        SET_MODE, json={"topic": topic, "consumerGroup": name, "mode": mode, "popShareQueueNum": 0, **more})
    yield topic("Shared", read=5, write=5)
    yield group("share")
    yield query(model="BROADCASTING", until=True)
    yield query()
    yield query(topic="NoSuchTopic")
    yield query(topic="%RETRY%nobody here")
    yield query(topic="NoSuchTopic", model="BROADCASTING")
    for client in [1, 2]:
        yield beat(client, member("share", "Shared"))
    for strategy in ["AVG", "AVG_BY_CIRCLE", "CONFIG", ""]:
        for client in [1, 2, 3]:
            yield query(client, strategy=strategy)
    yield query(model="BROADCASTING", strategy="ODD")
    yield settings(serverLoadBalancerEnable="false")
    yield query(2)
    yield settings(serverLoadBalancerEnable="true")
    yield query(topic="%LMQ%light")
    yield query(topic="%RETRY%share", until=True)
    yield ask(MODES)
    yield mode(topic="%RETRY%share")
    yield mode(topic="NoSuchTopic")
    yield settings(autoCreateSubscriptionGroup="false")
    yield mode(name="stranger")
    yield settings(autoCreateSubscriptionGroup="true")
    yield mode()
    yield ask(MODES)
    yield query(2)
    for client in [1, 2]:
        yield leave(client, "share")


def no_new_topics():
    # Last: Java's broker does not make topics any more after this, whatever is set then.
    yield settings(autoCreateTopicEnable="false")
    yield send("Unheard")
    yield send("%RETRY%unheard")


PARTS = [sends, retries, kinds, send_backs, pulls, holds, members, topics, groups, offsets, resets, shares, no_new_topics]
MASKED = ["timestamp", "lastUpdateTimestamp", "counter", "stateVersion"]


def text_of(body):
    for key in MASKED:
        body = re.sub(rf'"{key}":-?\d+', f'"{key}":0', body)
    return re.sub(r'"clientAddr":"[^"]*"', '"clientAddr":"ADDRESS"', body)


def answer(step, head, body):
    fields = {key: "ID" if key == "msgId" or len(value) >= 32 else value for key, value in (head.get("extFields") or {}).items()
              if "imestamp" not in key}
    remark = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", head.get("remark") or "")
    # What Java's answers begin with, left there by success.
    remark = "" if remark == "not set any response code" else remark
    if head["code"] not in (0, 10, 11, 12) and step["code"] in (SEND, SEND_V2, BATCH):
        # Said for nothing: clients read them of sends that succeeded.
        fields.pop("MSG_REGION", None), fields.pop("TRACE_ON", None)
    kept = {"code": head["code"], "remark": remark, "fields": dict(sorted(fields.items()))}
    if body and step["code"] in (PULL, LITE_PULL):
        kept["messages"] = []
        while body:
            size, _, _, queue, _, offset = struct.unpack(">iiiiiq", body[:28])
            kept["messages"].append([queue, offset])
            body = body[size:]
    elif body:
        kept["body"] = text_of(body.decode())
    return kept


def main():
    clients, values, recorded = [Client(sys.argv[1]) for _ in range(4)], {}, []
    for part in PARTS:
        recorded.append({"part": part.__name__})
        for step in part():
            client = clients[step["client"]]
            client.say(step, values)
            if "meanwhile" in step:
                time.sleep(UNTIL_HELD)
            for other in step.get("meanwhile", []):
                head, _ = clients[other["client"]].ask(other, values)
                assert head["code"] == 0, head
            head, body = client.hear()
            tries = 0
            while step.get("until") and b"queueId" not in body and tries < 60:
                time.sleep(0.5)
                tries += 1
                head, body = client.ask(step, values)
            if "save" in step:
                assert head["code"] == 0, head
                values[step["save"]] = int(head["extFields"]["msgId"][16:], 16)
            if "changed" in step:
                step["changed"] = {client: clients[int(client)].take_notices() for client in step["changed"]}
            recorded.append({**step, "answer": answer(step, head, body)})
    with open(sys.argv[2], "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(step) for step in recorded) + "\n]\n")


if __name__ == "__main__":
    main()
