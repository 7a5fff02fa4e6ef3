#!/usr/bin/env python3
"""Records the folders that a broker of an older release leaves, stopped and killed, with what its consumers read:
golden/vectors/older-stores.json.

Usage: older.py CLASSPATH VERSION FILE. CLASSPATH has rocketmq-broker of that release, 4.9.7, and all that it needs.
"""
import json, os, signal, subprocess, sys, tempfile, time
from serving import CREATE_TOPIC, MAX, PULL, SEND, UPDATE_OFFSET, Client

PORT = 28911
SETTINGS = {
    "brokerName": "broker-a", "brokerIP1": "127.0.0.1", "listenPort": PORT, "mappedFileSizeCommitLog": 8192,
    "mappedFileSizeConsumeQueue": 400, "maxHashSlotNum": 16, "maxIndexNum": 1024, "flushIntervalConsumeQueue": 100,
    "flushConsumerOffsetInterval": 500, "autoCreateTopicEnable": "false", "maxMessageSize": 4096,
}
TOPICS = {"Plain": 2, "Other": 1}


class Broker(Client):
    def ask(self, code, fields, body=""):
        return super().ask({"code": code, "fields": fields, "text": body}, {})


def send(broker, topic, queue, body, properties, sys_flag=0):
    text = "".join(f"{name}\x01{value}\x02" for name, value in properties.items())
    fields = {"producerGroup": "p", "topic": topic, "defaultTopic": "TBW102", "defaultTopicQueueNums": "4",
              "queueId": str(queue), "sysFlag": str(sys_flag), "bornTimestamp": "1700000000000", "flag": "7",
              "properties": text, "reconsumeTimes": "0", "unitMode": "false", "batch": "false"}
    head, _ = broker.ask(SEND, fields, body)
    assert head["code"] == 0, head


def fill(broker):
    for topic, queues in TOPICS.items():
        head, _ = broker.ask(CREATE_TOPIC, {"topic": topic, "defaultTopic": "TBW102", "readQueueNums": str(queues),
                                            "writeQueueNums": str(queues), "perm": "6", "topicFilterType": "SINGLE_TAG",
                                            "topicSysFlag": "0", "order": "false"})
        assert head["code"] == 0, head
    for number in range(40):
        properties = {"UNIQ_KEY": f"U{number:04}", "KEYS": f"k{number} shared", "TAGS": f"Tag{number % 3}", "WAIT": "true"}
        send(broker, "Plain", number % 2, f"body {number} " * (number + 1), properties)
    send(broker, "Other", 0, "delayed", {"UNIQ_KEY": "D", "DELAY": "18"})
    send(broker, "Other", 0, "half", {"UNIQ_KEY": "H", "TRAN_MSG": "true", "PGROUP": "p"}, sys_flag=4)
    send(broker, "Other", 0, "other", {"UNIQ_KEY": "O"})
    broker.ask(UPDATE_OFFSET, {"consumerGroup": "g", "topic": "Plain", "queueId": "1", "commitOffset": "5"})


def records(broker):
    """The records of each queue, one behind another, as a pull gives them."""
    found = {}
    queues = [(topic, queue) for topic, count in TOPICS.items() for queue in range(count)]
    for topic, queue in queues + [("SCHEDULE_TOPIC_XXXX", 17)]:
        head, _ = broker.ask(MAX, {"topic": topic, "queueId": str(queue)})
        end, offset, content = int(head["extFields"]["offset"]), 0, b""
        while offset < end:
            head, body = broker.ask(PULL, {
                "consumerGroup": "g", "topic": topic, "queueId": str(queue), "queueOffset": str(offset), "maxMsgNums": "32",
                "sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0",
                "expressionType": "TAG"})
            assert head["code"] == 0, head
            content += body
            offset = int(head["extFields"]["nextBeginOffset"])
        found[f"{topic} {queue}"] = {"end": end, "hex": content.hex()}
    return found


def files(folder):
    found = {}
    for path, _, names in os.walk(folder):
        for name in sorted(names):
            content = open(os.path.join(path, name), "rb").read()
            relative = os.path.relpath(os.path.join(path, name), folder)
            found[relative] = {"length": len(content), "hex": content.rstrip(b"\0").hex()}
    return dict(sorted(found.items()))


def connected():
    for _ in range(600):
        try:
            return Broker(f"127.0.0.1:{PORT}")
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the broker does not start")


def record(classpath, version, how):
    with tempfile.TemporaryDirectory() as home:
        store = os.path.join(home, "store")
        # It does not start without a file that says how it logs.
        os.mkdir(os.path.join(home, "conf"))
        with open(os.path.join(home, "conf/logback_broker.xml"), "w") as logback:
            logback.write("<configuration/>")
        with open(os.path.join(home, "broker.conf"), "w") as config:
            for key, value in {**SETTINGS, "storePathRootDir": store, "storePathCommitLog": store + "/commitlog"}.items():
                config.write(f"{key}={value}\n")
        process = subprocess.Popen(
            ["java", "-Xmx512m", f"-Duser.home={home}", "-Duser.timezone=UTC", f"-Drocketmq.home.dir={home}", "-cp", classpath,
             "org.apache.rocketmq.broker.BrokerStartup", "-c", f"{home}/broker.conf"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            broker = connected()
            fill(broker)
            # Queues and offsets are written behind; the checkpoint each second.
            time.sleep(4)
            read = records(broker)
            process.send_signal(how)
            process.wait()
        finally:
            process.kill()
        name = f"{version} " + ("stopped" if how == signal.SIGTERM else "killed")
        return {"name": name, "files": files(store), "queues": read}


def main():
    classpath, version, file = sys.argv[1:]
    vectors = [record(classpath, version, how) for how in (signal.SIGTERM, signal.SIGKILL)]
    with open(file, "w") as out:
        json.dump(vectors, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
