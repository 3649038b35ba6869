// Command hearthmq is the HearthMQ broker with its admin, and the commands to look
// after it. It is the only place that knows all packages: it reads the settings, makes
// the parts, starts them in order and ends them in order.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // images without time zone files still log in local time
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process
		<-signals
		stop()
		for s := range signals {
			if s == os.Interrupt { // a second Ctrl-C waits for nothing
				os.Exit(130)
			}
		}
	}()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	os.Exit(run(ctx, process{
		args: os.Args[1:], environ: os.Environ(),
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		hangup: hangup, root: os.Geteuid() == 0, becomeUser: becomeUser,
	}))
}
