#!/usr/bin/env python3
"""Asks live brokers that are set otherwise than by default, and writes down what they answer:
golden/vectors/configured.json.

Usage: configured.py JARS FILE. JARS is a folder with the jars of rocketmq-broker 5.3.3 and all that it needs; each part
starts a broker of its own from them. The form is that of serving.py; `set` lists the settings of a part.
"""
import json, os, re, signal, subprocess, sys, tempfile, time
from serving import (BATCH, QUERY_OFFSET, SEND, SEND_BACK, UPDATE_OFFSET, Client, answer, ask, beat, group, member, properties, pull, send,
                     send_short, settings, topic)

QUEUE, END, CHECK, REPLY = 321, 37, 46, 325


def filtered(group, expression, topic="Filtered", version=7, kind="SQL92"):
    data = member(group, topic, version=version)
    tags = expression.split(" || ") if kind == "TAG" else []
    data["subscriptionDataSet"][0].update(subString=expression, expressionType=kind, tagsSet=tags, codeSet=[ord(tag) for tag in tags])
    return data


def units(queue=0, index=0, count=32, group=None, topic="Filtered"):
    fields = {"topic": topic, "queueId": queue, "index": index, "count": count}
    return ask(QUEUE, **fields, **({} if group is None else {"consumerGroup": group}))


def wait(step, seconds):
    return {**step, "wait": seconds}


def given_back(offset, group, **more):
    fields = {"offset": offset, "group": group, "delayLevel": 0, "originMsgId": "o", "originTopic": "Topic", "unitMode": "false"}
    return ask(SEND_BACK, **{**fields, **more})


def reply(topic):
    return send_short(topic, code=REPLY, properties=properties(UNIQ_KEY="k", REPLY_TO_CLIENT="nobody", CORRELATION_ID="c"))


def filters():
    """Conditions of groups: what a pull is told about them, and the bit maps of the queues' extension."""
    yield topic("Filtered", read=1, write=1)
    yield send("Filtered", properties=properties(UNIQ_KEY="k", a="9"))
    own = lambda expression, kind="SQL92", **more: pull("Filtered", subscription=expression, expressionType=kind, **more)
    yield own("a > 5")
    yield own("a < 5")
    yield own("")
    yield own("a", kind="ODD", differs="a filter of an unknown kind lets everything through in Java")
    check = lambda expression, kind="SQL92": ask(CHECK, json={
        "clientId": "c0", "group": "checked", "subscriptionData": filtered("checked", expression, kind=kind)["subscriptionDataSet"][0]})
    for expression in ["a > 5", "a >", "", "a IS"]:
        yield check(expression)
    yield check("x", kind="ODD")
    yield beat(1, filtered("high", "a > 5"), filtered("low", "a BETWEEN 1 AND 3"), filtered("tagged", "A || B", kind="TAG"))
    yield beat(1, filtered("wrong", "a >"))
    of_group = lambda name, **more: pull("Filtered", group=name, flags=0, **more)
    yield of_group("wrong", subVersion=7)
    yield of_group("nobody", subVersion=7)
    yield of_group("high", subVersion=7)
    yield of_group("high", subVersion=8)
    yield of_group("low", subVersion=7)
    # A filter is as new as its subscription.
    yield beat(1, filtered("older", "a > 1", version=7))
    yield beat(1, filtered("older", "a > 2", version=9))
    yield of_group("older", subVersion=9)
    yield settings(enablePropertyFilter="false")
    yield own("a > 5")
    yield of_group("high", subVersion=7)
    yield check("a > 5")
    yield settings(enablePropertyFilter="true")
    # What comes a while after the filters is asked when it is stored.
    texts = [{"a": "9"}, {"a": "2", "TAGS": "A"}, {"a": "x", "TAGS": "B"}, {"TAGS": "C"}]
    yield wait(send("Filtered", properties=properties(UNIQ_KEY="k", **texts[0])), 2)
    for entries in texts[1:]:
        yield send("Filtered", properties=properties(UNIQ_KEY="k", **entries))
    for name in [None, "high", "low", "tagged", "wrong", "nobody"]:
        yield wait(units(group=name), 0.5)
    yield units(index=2, count=1, group="high")
    yield units(index=9, group="high")
    yield settings(enableCalcFilterBitMap="false")
    yield send("Filtered", properties=properties(UNIQ_KEY="k", a="2"))
    yield wait(units(index=5, group="high"), 0.5)
    yield settings(enableCalcFilterBitMap="true")
    for name in ["high", "low", "tagged"]:
        yield of_group(name, subVersion=7)
    # A newer text that is none leaves nothing of the older one.
    yield beat(1, filtered("older", "a >", version=11))
    yield of_group("older", subVersion=11)
    # Nor does none at all.
    yield beat(1, filtered("older", "a > 1", version=12))
    yield beat(1, filtered("older", "", version=13))
    yield of_group("older", subVersion=13)


def slave():
    """A slave takes nothing, and does what a master does otherwise."""
    yield send("TopicTest")
    yield send_short("TopicTest", code=BATCH, inner=["one"], batch="true")
    yield send_short("TopicTest")
    yield send("%RETRY%backs")
    yield ask(END, producerGroup="p", tranStateTableOffset=0, commitLogOffset=0, commitOrRollback=8, fromTransactionCheck="false")
    yield group("readers")
    yield given_back(0, "readers")
    yield reply("TopicTest")
    yield pull("SELF_TEST_TOPIC", group="readers")
    yield pull("NoSuchTopic", group="readers")
    yield ask(UPDATE_OFFSET, consumerGroup="readers", topic="SELF_TEST_TOPIC", queueId=0, commitOffset=1)
    yield ask(QUERY_OFFSET, consumerGroup="readers", topic="SELF_TEST_TOPIC", queueId=0)
    yield pull("SELF_TEST_TOPIC", group="readers", flags=5, commitOffset=3)
    yield ask(QUERY_OFFSET, consumerGroup="readers", topic="SELF_TEST_TOPIC", queueId=0)


def replicas():
    """Not enough slaves."""
    yield send("TopicTest")
    yield send_short("TopicTest", code=BATCH, inner=["one"], batch="true")
    yield send("TopicTest", properties=properties(UNIQ_KEY="k", DELAY="1"))


def light():
    """More light queues than are allowed."""
    yield topic("Light", read=1, write=1)
    named = lambda names, **more: send("Light", properties=properties(UNIQ_KEY="k", INNER_MULTI_DISPATCH=names), **more)
    yield named("%LMQ%a")
    yield named("%LMQ%a")
    yield pull("%LMQ%a", group="light")
    for names in ["%LMQ%b", "%LMQ%a,%LMQ%c"]:
        yield named(names, differs="there is a limit, which nothing looks at any more in Java 5")


def slow():
    """Consumers for which what they want is no longer in memory, where slaves may be read."""
    yield topic("Topic", read=1, write=1)
    for tag in "AAB":
        yield send("Topic", properties=properties(UNIQ_KEY="k", TAGS=tag))
    yield group("usual")
    yield group("other", brokerId=2, whichBrokerWhenConsumeSlowly=3)
    for readable in ["true", "false"]:
        yield settings(slaveReadEnable=readable)
        for name in ["usual", "other"]:
            for offset in [0, 2, 3, 9]:
                yield pull("Topic", group=name, offset=offset)
            yield pull("Topic", group=name, offset=0, subscription="C")
            yield pull("Topic", group=name, offset=0, maxMsgNums=1)


def timers():
    """Messages with a time of their own: no broker here has them switched on."""
    timed = lambda code=SEND, **more: send("TopicTest", code=code, properties=properties(UNIQ_KEY="k", **more))
    for key in ["TIMER_DELIVER_MS", "TIMER_DELAY_SEC", "TIMER_DELAY_MS"]:
        for value in ["4102444800000", "0", "x", ""]:
            yield timed(**{key: value})
        yield timed(**{key: "1", "DELAY": "1"})
        yield timed(**{key: "1", "DELAY": "0"})
        yield timed(**{key: "1", "TIMER_OUT_MS": "1"})
    yield send_short("TopicTest", properties=properties(UNIQ_KEY="k", TIMER_DELAY_SEC="1"))
    yield send_short("TopicTest", code=BATCH, inner=["one"], batch="true", properties=properties(TIMER_DELAY_SEC="1"))
    yield send("TopicTest", sysFlag=4, properties=properties(UNIQ_KEY="k", TRAN_MSG="true", PGROUP="p", TIMER_DELAY_SEC="1"))


def unwriteable():
    """No messages, no topics, no groups by themselves."""
    yield send("TopicTest")
    yield send("SELF_TEST_TOPIC")
    yield pull("SELF_TEST_TOPIC")
    yield topic("Made")
    yield send("Made")


PARTS = [
    (filters, {"enablePropertyFilter": "true", "enableConsumeQueueExt": "true", "enableCalcFilterBitMap": "true"}),
    (slave, {"brokerRole": "SLAVE", "brokerId": "1"}),
    (slave, {"brokerRole": "SLAVE", "brokerId": "1", "slaveReadEnable": "true"}),
    (replicas, {"brokerRole": "SYNC_MASTER", "inSyncReplicas": "3", "syncFlushTimeout": "300"}),
    (light, {"enableLmq": "true", "enableMultiDispatch": "true", "maxLmqConsumeQueueNum": "1"}),
    (slow, {"slaveReadEnable": "true", "accessMessageInMemoryMaxRatio": "0"}),
    (timers, {}),
    (unwriteable, {"autoCreateTopicEnable": "false", "autoCreateSubscriptionGroup": "false"}),
]
OPENED = ["java.base/java.nio", "java.base/sun.nio.ch", "java.base/java.lang", "java.base/java.util"]


def masked(kept):
    """What cannot be the same twice is 0 in bodies, and in texts that are in them."""
    if "body" in kept:
        kept["body"] = re.sub(r'(\\?"(?:physicOffset|msgStoreTime|bornTime|deadTime)\\?":)\d+', r"\g<1>0", kept["body"])
    kept["remark"] = re.sub(r"\d\.\d\d", "RATIO", kept["remark"])
    return kept


class Java:
    """A broker of its own, from a folder with the jars of a release, in a folder of its own."""

    def __init__(self, jars, folder, port, changes):
        self.folder, self.port, self.store = folder, port, os.path.join(folder, "store")
        conf = os.path.join(folder, "broker.conf")
        lines = {"brokerName": "broker-a", "brokerIP1": "127.0.0.1", "listenPort": port, "haListenPort": port + 1,
                 "storePathRootDir": self.store, "storePathCommitLog": os.path.join(self.store, "commitlog"),
                 "mappedFileSizeCommitLog": 1 << 24, "timerWheelEnable": "false", "diskMaxUsedSpaceRatio": 99, **changes}
        with open(conf, "w") as out:
            out.writelines(f"{key}={value}\n" for key, value in lines.items())
        # A 4.x release reads how it shall log from its home.
        os.makedirs(os.path.join(folder, "conf"), exist_ok=True)
        with open(os.path.join(folder, "conf", "logback_broker.xml"), "w") as out:
            out.write('<configuration><root level="OFF"/></configuration>')
        self.command = ["java", "-Xmx512m", f"-Duser.home={folder}", f"-Drocketmq.home.dir={folder}", "-cp", f"{jars}/*"]
        self.command += [f"--add-opens={name}=ALL-UNNAMED" for name in OPENED]
        self.command += ["org.apache.rocketmq.broker.BrokerStartup", "-c", conf]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)

    def start(self):
        log = os.path.join(self.folder, "log")
        self.process = subprocess.Popen(self.command, stdout=open(log, "w"), stderr=subprocess.STDOUT)
        while "boot success" not in open(log).read():
            assert self.process.poll() is None, open(log).read()
            time.sleep(0.2)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait()

    def clients(self, count=2):
        return [Client(f"127.0.0.1:{self.port}") for _ in range(count)]


def run(part, changes, jars, port):
    with tempfile.TemporaryDirectory() as folder, Java(jars, folder, port, changes) as broker:
        clients, recorded = broker.clients(), [{"part": part.__name__, "set": changes}]
        for step in part():
            time.sleep(step.get("wait", 0))
            head, body = clients[step["client"]].ask(step, {})
            recorded.append({**step, "answer": masked(answer(step, head, body))})
        return recorded


def write(recorded, path):
    with open(path, "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(step) for step in recorded) + "\n]\n")


def main():
    recorded = []
    for number, (part, changes) in enumerate(PARTS):
        recorded += run(part, changes, sys.argv[1], 27100 + 10 * number)
    write(recorded, sys.argv[2])


if __name__ == "__main__":
    main()
