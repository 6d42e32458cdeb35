# conftest: images come from registries that somebody answers for.
package main

import rego.v1

allowed := ["registry.example.com/", "quay.io/argoproj/"]

deny contains msg if {
	some container in input.spec.containers
	not trusted(container.image)
	msg := sprintf("image %v of container %v is from no registry of ours", [container.image, container.name])
}

trusted(image) if {
	some prefix in allowed
	startswith(image, prefix)
}
