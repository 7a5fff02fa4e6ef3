// Messages between a Go client and others: body, tag, key and one property of each.
// Usage: crossing send NAMESRV TOPIC, with a body on each line of stdin
//
//	crossing recv NAMESRV TOPIC GROUP COUNT
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const patience = 90 * time.Second

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	rlog.SetLogLevel("error")
	namesrv, topic := primitive.NewPassthroughResolver([]string{os.Args[2]}), os.Args[3]
	if os.Args[1] == "send" {
		send(namesrv, topic)
		return
	}
	count, err := strconv.Atoi(os.Args[5])
	must(err)
	recv(namesrv, topic, os.Args[4], count)
}

func send(namesrv primitive.NsResolver, topic string) {
	p, err := rocketmq.NewProducer(producer.WithNsResolver(namesrv), producer.WithGroupName("crossing_go"),
		producer.WithSendMsgTimeout(10*time.Second), producer.WithRetry(5))
	must(err)
	must(p.Start())
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		message := primitive.NewMessage(topic, append([]byte(nil), lines.Bytes()...)).WithTag("TagX").WithKeys([]string{"KeyX"})
		message.WithProperty("color", "blue")
		_, err := p.SendSync(context.Background(), message)
		must(err)
	}
	must(lines.Err())
	must(p.Shutdown())
}

func recv(namesrv primitive.NsResolver, topic, group string, count int) {
	lines := make(chan string, 1000)
	c, err := rocketmq.NewPushConsumer(consumer.WithNsResolver(namesrv), consumer.WithGroupName(group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	must(err)
	must(c.Subscribe(topic, consumer.MessageSelector{}, func(_ context.Context, found ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range found {
			lines <- fmt.Sprintf("%s %s %s %s", message.GetTags(), message.GetKeys(), message.GetProperty("color"), message.Body)
		}
		return consumer.ConsumeSuccess, nil
	}))
	must(c.Start())
	timeout := time.After(patience)
	for ; count > 0; count-- {
		select {
		case line := <-lines:
			fmt.Println(line)
		case <-timeout:
			fmt.Fprintln(os.Stderr, "missing", count)
			os.Exit(1)
		}
	}
	must(c.Shutdown())
}
