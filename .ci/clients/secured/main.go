// A Go producer and push consumer that sign with the credentials of an account, encrypted or not, as Secured.java does.
// Usage: secured TLS NAMESRV ACCESS_KEY SECRET TOPIC GROUP EXPECTED, where TLS is true or false, EXPECTED serve or refuse
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const (
	count    = 20
	patience = 60 * time.Second
)

var errLost = errors.New("not everything came")

func main() {
	rlog.SetLogLevel("fatal")
	isEncrypted, isServed := os.Args[1] == "true", os.Args[7] == "serve"
	account := primitive.Credentials{AccessKey: os.Args[3], SecretKey: os.Args[4]}
	err := exchange(isEncrypted, os.Args[2], account, os.Args[5], os.Args[6])
	// What is lost was not refused.
	if isServed && err == nil || !isServed && err != nil && !errors.Is(err, errLost) {
		fmt.Println("PASS", os.Args[1], os.Args[3:], err)
		return
	}
	fmt.Println("FAIL", os.Args[1], os.Args[3:], err)
	os.Exit(1)
}

// exchange sends messages and waits until the consumer has had each of them.
func exchange(isEncrypted bool, address string, account primitive.Credentials, topic, group string) error {
	namesrv := primitive.NewPassthroughResolver([]string{address})
	p, err := rocketmq.NewProducer(producer.WithNsResolver(namesrv), producer.WithGroupName("producers-of-"+group),
		producer.WithCredentials(account), producer.WithTls(isEncrypted), producer.WithRetry(0),
		producer.WithSendMsgTimeout(20*time.Second))
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	defer p.Shutdown()
	missing := map[string]bool{}
	for at := range count {
		body := fmt.Sprintf("from go %s %d", group, at)
		missing[body] = true
		sent, err := p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(body)).WithTag("TagA"))
		if err != nil {
			return err
		}
		if sent.Status != primitive.SendOK {
			return fmt.Errorf("%w: status %d", errLost, sent.Status)
		}
	}
	return receive(isEncrypted, namesrv, account, topic, group, missing)
}

func receive(isEncrypted bool, namesrv primitive.NsResolver, account primitive.Credentials, topic, group string, missing map[string]bool) error {
	c, err := rocketmq.NewPushConsumer(consumer.WithNsResolver(namesrv), consumer.WithGroupName(group),
		consumer.WithCredentials(account), consumer.WithTls(isEncrypted),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	if err != nil {
		return err
	}
	var guard sync.Mutex
	done := make(chan struct{})
	err = c.Subscribe(topic, consumer.MessageSelector{}, func(_ context.Context, found ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		guard.Lock()
		defer guard.Unlock()
		before := len(missing)
		for _, message := range found {
			delete(missing, string(message.Body))
		}
		if before > 0 && len(missing) == 0 {
			close(done)
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	defer c.Shutdown()
	select {
	case <-done:
		return nil
	case <-time.After(patience):
		guard.Lock()
		defer guard.Unlock()
		return fmt.Errorf("%w: %d of %d are missing", errLost, len(missing), count)
	}
}
