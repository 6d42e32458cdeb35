package registries

ours = ["registry.example.com/", "quay.io/argoproj/", "docker.io/library/"]

violation[{"msg": msg}] {
  container := input.spec.containers[_]
  not from_ours(container.image)
  msg := sprintf("container %v: %v is from elsewhere", [container.name, container.image])
}

from_ours(image) { startswith(image, ours[_]) }
