package kubernetes.admission

import rego.v1

deny contains msg if {
	input.request.kind.kind == "Pod"
	input.request.operation == "CREATE"
	namespace := input.request.namespace
	not startswith(namespace, "kube-")
	account := object.get(input.request.object.spec, "serviceAccountName", "default")
	account == "default"
	msg := sprintf("pods of %s need an account of their own", [namespace])
}
