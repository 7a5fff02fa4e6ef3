"""Messages between the C++ client (PyPI `rocketmq` is librocketmq) and others: body, tag, key and one property of each.

    crossing.py send NAMESRV TOPIC, with a body on each line of stdin
    crossing.py recv NAMESRV TOPIC GROUP COUNT
"""
import os
import queue
import sys
import time

from rocketmq.client import Message, Producer, PushConsumer

PATIENCE = 90


def send(namesrv, topic):
    producer = Producer("crossing_cpp", timeout=10000)
    producer.set_namesrv_addr(namesrv)
    producer.start()
    for line in sys.stdin:
        message = Message(topic)
        message.set_body(line.rstrip("\n"))
        message.set_tags("TagX")
        message.set_keys("KeyX")
        message.set_property("color", "blue")
        end = time.monotonic() + PATIENCE
        while True:
            try:
                producer.send_sync(message)
                break
            except Exception:  # the route of a new topic may take a moment
                if time.monotonic() > end:
                    raise
                time.sleep(1)


def text(value):
    return value.decode() if isinstance(value, bytes) else (value or "")


def recv(namesrv, topic, group, count):
    lines = queue.Queue()

    def take(message):
        lines.put(" ".join(map(text, (message.tags, message.keys, message.get_property("color"), message.body))))

    consumer = PushConsumer(group)
    consumer.set_namesrv_addr(namesrv)
    consumer.subscribe(topic, take)
    consumer.start()
    for _ in range(int(count)):
        print(lines.get(timeout=PATIENCE), flush=True)
    consumer.shutdown()


{"send": send, "recv": recv}[sys.argv[1]](*sys.argv[2:])
sys.stdout.flush()
# The library's threads may outlive it.
os._exit(0)
