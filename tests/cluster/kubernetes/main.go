// Command kubernetes is a control plane in one binary: etcd and the components of Kubernetes, and kubectl, each under the
// name that the binary is called by. Links named after the components make a folder in envtest's layout.
//
// One binary because the components share most of their code: building it takes half as long as building them apart, and a
// fifth of the space. The build tag "kubelet" adds what a node runs, the kubelet and kube-proxy.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// commands makes the command line of a component only when it is called: each takes a while.
var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			// kubectl's own main prints what the server said without more ado.
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		command, known := commands[name]
		if !known {
			fmt.Fprintf(os.Stderr, "%s is no component of this build; call it by a link of the component's name\n", name)
			os.Exit(2)
		}
		os.Exit(cli.Run(command()))
	}
}
