package limits

import rego.v1

warn contains msg if {
	some container in input.spec.containers
	some resource in ["cpu", "memory"]
	not container.resources.limits[resource]
	msg := sprintf("container %s has no limit of %s", [container.name, resource])
}
