// Command control-plane is a Kubernetes control plane for the tests of podgate, and for playing with it: the
// real API server, controller manager, scheduler, their store and kubectl, in one binary that builds from
// modules alone. Each part is a subcommand and runs as a process of its own, so that a test can kill and
// restart one of them while the others go on.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // CronJobs name time zones

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// parts makes a part's command only when it is asked for: making one registers flags and feature gates that
// would stand in another's way.
var parts = map[string]func() *cobra.Command{
	"certificates": certificatesCommand,
	"etcd":         etcdCommand,
	"apiserver":    apiserver.NewAPIServerCommand,
	"controllers":  controllers.NewControllerManagerCommand,
	"scheduler":    func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubectl":      kubectl.NewDefaultKubectlCommand,
}

func main() {
	// A link named `kubectl` to this binary is kubectl.
	part, args := filepath.Base(os.Args[0]), os.Args[1:]
	if parts[part] == nil {
		if len(args) == 0 || parts[args[0]] == nil {
			fmt.Fprintln(os.Stderr, "usage: control-plane certificates|etcd|apiserver|controllers|scheduler|kubectl [FLAGS]")
			os.Exit(2)
		}
		part, args = args[0], args[1:]
	}
	// kubectl looks for its plugins' names in os.Args, before cobra reads them.
	os.Args = append([]string{part}, args...)
	command := parts[part]()
	if part == "kubectl" {
		// kubectl's own way to say what went wrong, with its exit codes.
		if err := cli.RunNoErrOutput(command); err != nil {
			kubectlutil.CheckErr(err)
		}
		return
	}
	os.Exit(cli.Run(command))
}
