// A Go consumer whose offsets are asked for and set, through it and on the broker, while it runs.
// Usage: resets NAMESRV BROKER RAPTORMQ. RAPTORMQ is the binary, whose mqadmin asks.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const messages = 20
const patience = 90 * time.Second

var failed = false

func check(name string, isSo func() bool) {
	end := time.Now().Add(patience)
	for !isSo() && time.Now().Before(end) {
		time.Sleep(100 * time.Millisecond)
	}
	if isSo() {
		fmt.Println("PASS " + name)
	} else {
		fmt.Println("FAIL " + name)
		failed = true
	}
}

func main() {
	namesrv, broker, raptormq := os.Args[1], os.Args[2], os.Args[3]
	rlog.SetLogLevel("error")
	unique := fmt.Sprint(time.Now().UnixNano())
	topic, group := "Resets"+unique, "resets"+unique
	admin := func(args ...string) string {
		out, _ := exec.Command(raptormq, append([]string{"mqadmin"}, args...)...).CombinedOutput()
		return string(out)
	}
	set := func(onBroker string) {
		admin("updateBrokerConfig", "-b", broker, "-k", "useServerSideResetOffset", "-v", onBroker)
	}
	reset := func() {
		args := []string{"resetOffsetByTime", "-n", namesrv, "-g", group, "-t", topic, "-s", "0", "-f", "true"}
		// Until the client has committed its offsets there is nothing to reset.
		for end := time.Now().Add(patience); strings.Contains(admin(args...), "answered") && time.Now().Before(end); {
			time.Sleep(time.Second)
		}
	}
	admin("updateTopic", "-n", namesrv, "-b", broker, "-t", topic, "-r", "2", "-w", "2")

	p, err := rocketmq.NewProducer(producer.WithNsResolver(primitive.NewPassthroughResolver([]string{namesrv})),
		producer.WithGroupName("p"+unique), producer.WithInstanceName("p"+unique))
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		fmt.Println("FAIL producer", err)
		os.Exit(1)
	}
	for number := 0; number < messages; number++ {
		_, err := p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(fmt.Sprint("message ", number))))
		if err != nil {
			fmt.Println("FAIL send", err)
			os.Exit(1)
		}
	}

	var lock sync.Mutex
	seen := map[string]int{}
	c, err := rocketmq.NewPushConsumer(consumer.WithNsResolver(primitive.NewPassthroughResolver([]string{namesrv})),
		consumer.WithGroupName(group), consumer.WithInstance("c"+unique),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	if err == nil {
		err = c.Subscribe(topic, consumer.MessageSelector{}, func(_ context.Context, found ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			lock.Lock()
			defer lock.Unlock()
			for _, message := range found {
				seen[string(message.Body)]++
			}
			return consumer.ConsumeSuccess, nil
		})
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		fmt.Println("FAIL consumer", err)
		os.Exit(1)
	}
	isEach := func(times int) func() bool {
		return func() bool {
			lock.Lock()
			defer lock.Unlock()
			for _, count := range seen {
				if count < times {
					return false
				}
			}
			return len(seen) == messages
		}
	}
	check("consume", isEach(1))
	// What the client says of itself: where it is in both queues.
	status := func() bool {
		sum := 0
		for _, line := range strings.Split(admin("getConsumerStatus", "-n", namesrv, "-g", group, "-t", topic), "\n") {
			var offset int
			if fields := strings.Fields(line); strings.Contains(line, "broker-") {
				fmt.Sscan(fields[len(fields)-1], &offset)
			}
			sum += offset
		}
		return sum == messages
	}
	check("status", status)
	set("false")
	reset()
	check("reset-by-client", isEach(2))
	check("status-again", status)
	set("true")
	reset()
	check("reset-by-broker", isEach(3))
	_ = c.Shutdown()
	_ = p.Shutdown()
	if failed {
		os.Exit(1)
	}
}
