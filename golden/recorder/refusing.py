#!/usr/bin/env python3
"""Asks live brokers that cannot store, or cannot read, what they are asked to, and writes down what they answer:
golden/vectors/refusing.json.

Usage: refusing.py JARS JARS4 FILE. JARS is a folder with the jars of rocketmq-broker 5.3.3 and all that it needs, JARS4 one with
those of 4.9.7. The form is that of configured.py; `do` is what happens to the broker before the next step, which whoever
compares does in a way of his own; a step with `until` is repeated until its answer has that code, one with `times` so often.

What cannot be had from a live broker: UNKNOWN_ERROR (an exception within an append), a store that is shut down (the port is
closed before it), NO_MATCHED_LOGIC_QUEUE (5.x makes the queue that is asked for).
"""
import os, sys, tempfile, threading, time
from configured import END, Java, given_back, masked, reply, write
from serving import (BATCH, QUERY_OFFSET, UPDATE_OFFSET, answer, ask, group, properties, pull, send, send_short, settings,
                     topic)

# Steps are asked again for as long, in seconds: a disk is looked at once a minute after the start.
LIMIT = 120
MESSAGE_BYTES = 32 << 10
# Units in a file of a queue, in `queue_gap`.
UNITS = 30


def do(what):
    return {"do": what}


def half(save=None):
    step = send("Topic", sysFlag=4, properties=properties(UNIQ_KEY="k", TRAN_MSG="true", PGROUP="p"))
    return {**step, "save": save} if save else step


def end(name, decision, offset):
    return ask(END, producerGroup="p", tranStateTableOffset=offset, commitLogOffset=f"${name}", commitOrRollback=decision,
               fromTransactionCheck="false")


def prepare():
    """What later steps are about."""
    yield topic("Topic", read=1, write=1)
    yield topic("Other", read=1, write=1)
    yield send("Other")
    yield group("group")
    yield {**send("Topic"), "save": "one"}
    for name in ["first", "second", "third"]:
        yield half(save=name)


def sends():
    yield send("Topic")
    yield send("Topic", properties=properties(UNIQ_KEY="k", WAIT="false"))
    yield send_short("Topic")
    yield send_short("Topic", code=BATCH, inner=["one", "two"], batch="true")
    yield send("Topic", properties=properties(UNIQ_KEY="k", DELAY="3"))
    yield half()


def store_in_every_way():
    yield from sends()
    yield end("first", 8, 0)
    yield end("second", 12, 1)
    for level in [0, -1]:
        yield given_back("$one", "group", delayLevel=level)
    yield reply("Topic")


def slow_disk():
    """Nothing is flushed in time."""
    yield from prepare()
    yield settings(syncFlushTimeout=0)
    yield do("hang")
    yield from store_in_every_way()
    yield do("heal")


def full_disk():
    """The disk is full: nothing is stored, everything else goes on."""
    yield from prepare()
    yield do("fill")
    yield {**send("Topic"), "until": 14}
    yield from store_in_every_way()
    yield pull("Other", group="group")
    yield ask(UPDATE_OFFSET, consumerGroup="group", topic="Topic", queueId=0, commitOffset=1)
    yield ask(QUERY_OFFSET, consumerGroup="group", topic="Topic", queueId=0)


def no_next_file():
    """The next file of the log cannot be made."""
    yield from prepare()
    yield do("no_next_file")
    yield {**send("Topic", bytes=1 << 20), "until": 1}
    big = lambda step: {key: value for key, value in step.items() if key != "text"} | {"bytes": 1 << 20}
    yield big(send("Topic"))
    yield big(send_short("Topic"))
    yield pull("Other", group="group")


def slave():
    """A slave that may stand in for its master, which is there."""
    yield send("TopicTest")
    yield send_short("TopicTest", code=BATCH, inner=["one"], batch="true")
    yield ask(END, producerGroup="p", tranStateTableOffset=0, commitLogOffset=0, commitOrRollback=8, fromTransactionCheck="false")
    yield group("readers")
    yield given_back(0, "readers")
    yield reply("TopicTest")


def too_few():
    """Fewer replicas than there must be: nothing is stored."""
    yield topic("Topic", read=1, write=1)
    yield from sends()
    yield {**send("Topic", properties=properties(UNIQ_KEY="k", WAIT="false")), "save": "one"}
    yield group("group")
    yield given_back("$one", "group")


def no_slave():
    """A synchronous master of 4.x without a slave."""
    yield topic("Topic", read=1, write=1)
    yield group("group")
    yield {**send("Topic"), "save": "one"}
    yield send("Topic", properties=properties(UNIQ_KEY="k", WAIT="false"))
    yield send_short("Topic")
    yield send_short("Topic", code=BATCH, inner=["one", "two"], batch="true")
    yield send("Topic", properties=properties(UNIQ_KEY="k", DELAY="3"))
    yield given_back("$one", "group")


def busy_cache():
    """Somebody else's message is being written."""
    yield topic("Topic", read=1, write=1)
    yield do("flood")
    for code, remark in [(2, "[REJECTREQUEST]"), (2, "[PC_SYNCHRONIZED]")]:
        yield {**send("Topic"), "until": code, "remark": remark,
               "differs": "no send waits for a lock that is held while another one's message is written"}


def fill():
    yield topic("Topic", read=1, write=1)
    yield {**send("Topic", bytes=MESSAGE_BYTES), "times": 160}


def queue_gap():
    """A file of a queue is gone."""
    yield from fill()
    yield do("remove_queue_file")
    for offset in [0, UNITS - 1, UNITS, UNITS + 5, 2 * UNITS - 1, 2 * UNITS, 159]:
        yield pull("Topic", offset=offset, maxMsgNums=1)


def log_gap():
    """A file of the log is gone."""
    yield from fill()
    yield do("remove_log_file")
    for offset in [0, 92, 93, 96, 100, 123, 124, 159]:
        yield pull("Topic", offset=offset, maxMsgNums=1)


PARTS = [
    (slow_disk, {"flushDiskType": "SYNC_FLUSH"}),
    (full_disk, {"diskSpaceWarningLevelRatio": "40", "cleanResourceInterval": "1000"}),
    (no_next_file, {}),
    (slave, {"brokerRole": "SLAVE", "brokerId": "1", "enableSlaveActingMaster": "true"}),
    (too_few, {"brokerRole": "SYNC_MASTER", "inSyncReplicas": "2", "minInSyncReplicas": "2", "enableSlaveActingMaster": "true",
               "skipPreOnline": "true"}),
    (no_slave, {"brokerRole": "SYNC_MASTER"}),
    (busy_cache, {"osPageCacheBusyTimeOutMills": "-1"}),
    (queue_gap, {"mappedFileSizeCommitLog": str(1 << 20), "mappedFileSizeConsumeQueue": str(UNITS * 20)}),
    (log_gap, {"mappedFileSizeCommitLog": str(1 << 20)}),
]
OF_4 = {no_slave}
REMOVED = {"remove_queue_file": f"consumequeue/Topic/0/{UNITS * 20:020}", "remove_log_file": f"commitlog/{3 << 20:020}"}


class Flood:
    """Clients that send large messages all the time."""

    def __init__(self, broker):
        self.is_over = False
        self.threads = [threading.Thread(target=self.send, args=(client,)) for client in broker.clients(6)]
        for thread in self.threads:
            thread.start()

    def send(self, client):
        while not self.is_over:
            client.ask(send("Topic", bytes=1 << 20), {})

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def act(broker, what):
    """Makes something happen; returns what ends with the part."""
    if what == "flood":
        return Flood(broker)
    if what == "no_next_file":
        # Files that are made ahead are there; another one has no folder.
        time.sleep(2)
        log = os.path.join(broker.store, "commitlog")
        os.rename(log, log + ".moved")
        open(log, "w").close()
    if what in REMOVED:
        broker.stop()
        os.remove(os.path.join(broker.store, REMOVED[what]))
        broker.start()
    # A disk is full enough, and slow enough, as it is.
    return None


def run(part, changes, jars, port):
    with tempfile.TemporaryDirectory() as folder, Java(jars, folder, port, changes) as broker:
        # What is never below 0, ours takes no -1 for.
        shown = {key: value for key, value in changes.items() if value != "-1"}
        clients, values, ends, recorded = broker.clients(), {}, [], [{"part": part.__name__, "set": shown}]
        if part in OF_4:
            recorded[0]["release"] = "4.9.7"
        for step in part():
            if "do" in step:
                ends.append(act(broker, step["do"]))
                if step["do"] in REMOVED:
                    clients = broker.clients()
                recorded.append(step)
                continue
            for _ in range(step.get("times", 1) - 1):
                clients[step["client"]].ask(step, values)
            began = time.monotonic()
            while True:
                head, body = clients[step["client"]].ask(step, values)
                is_it = head["code"] == step.get("until") and step.get("remark", "") in (head.get("remark") or "")
                if "until" not in step or is_it:
                    break
                assert time.monotonic() < began + LIMIT, f"{step} {head}"
                if head["code"] == 0 and "bytes" not in step and "remark" not in step:
                    time.sleep(0.5)
            if "save" in step:
                values[step["save"]] = int(head["extFields"]["msgId"][16:], 16)
            kept = masked(answer(step, head, body))
            # While there is no index its folder has no ratio.
            kept["remark"] = kept["remark"].replace("INDEX: -RATIO", "INDEX:  RATIO")
            recorded.append({**step, "answer": kept})
        for started in filter(None, ends):
            started.end()
        return recorded


def main():
    recorded = []
    for number, (part, changes) in enumerate(PARTS):
        print(part.__name__, flush=True)
        recorded += run(part, changes, sys.argv[2] if part in OF_4 else sys.argv[1], 27300 + 10 * number)
    write(recorded, sys.argv[3])


if __name__ == "__main__":
    main()
