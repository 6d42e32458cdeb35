use emissary_contract::variable::KUBELET_PREFIX;

/// Whether a variable is one that tells the executor where the kubelet is.
pub(in crate::pod) fn is_its_variable(name: &str) -> bool {
    name.starts_with(KUBELET_PREFIX)
}
