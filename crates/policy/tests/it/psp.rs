use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use emissary_policy::defaults;
use emissary_policy::psp::{Admission, Authorisation, PodSecurityPolicy, Psp, Rbac, Rejection, Release};
use serde_json::{Value, json};

use crate::oracle;
use crate::requests::creation;

/// The policies by the stem of their file.
fn policies() -> BTreeMap<String, PodSecurityPolicy> {
    let files = fs::read_dir(oracle::path("psp")).unwrap().map(|entry| entry.unwrap().path());
    let yaml = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|path| {
        let document: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), PodSecurityPolicy::parse(&document).unwrap())
    })
    .collect()
}

/// Whether `found` is what is between the brackets, the policies' errors being in any order.
fn is_permutation(found: &str, mut blocks: Vec<String>) -> bool {
    blocks.retain(|block| !block.is_empty());
    blocks.is_empty() && found.is_empty()
        || (0..blocks.len()).any(|index| {
            let mut others = blocks.clone();
            let first = others.remove(index);
            found.strip_prefix(&first).is_some_and(|rest| is_permutation(rest.trim_start(), others))
        })
}

/// Whether the plugin's error says what we do, the policies in any order.
fn is_told(rejection: &Rejection, error: &Value) -> bool {
    let Some((_, errors)) = error.as_str().and_then(|error| error.split_once(" unable to admit pod: [")) else {
        return false;
    };
    let blocks = rejection
        .policies
        .iter()
        .map(|(_, errors)| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    is_permutation(errors.strip_suffix(']').unwrap(), blocks.collect())
}

#[test]
fn every_recorded_verdict_is_ours() {
    let known = policies();
    let mut differences = Vec::new();
    for case in oracle::cases("psp") {
        let request = creation(&defaults::pod(&case["pod"]));
        for verdict in case["verdicts"].as_array().unwrap() {
            let stems = verdict["policies"].as_array().unwrap().iter().map(|stem| stem.as_str().unwrap());
            let chosen = stems.map(|stem| known[stem].clone()).collect();
            let psp = Psp::new(chosen, Authorisation::Everything, Release::V1_20);
            let is_same = match psp.admit(&request).unwrap() {
                Admission::Ignored => false,
                Admission::Admitted { policy, .. } => verdict["allowed"] == true && verdict["psp"] == policy,
                Admission::Rejected(rejection) => verdict["allowed"] == false && is_told(&rejection, &verdict["error"]),
            };
            if !is_same {
                differences.push(format!("{}\n{verdict}\n{:?}", case["pod"], psp.admit(&request)));
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences[0]);
}

/// What policies change in a pod.
fn changed(pod: &Value) -> Value {
    let containers = |list: &str| pod["spec"][list].as_array().into_iter().flatten();
    let all = ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(containers);
    let of_containers: Vec<&Value> = all.map(|container| &container["securityContext"]).collect();
    let spec = &pod["spec"];
    json!([pod["metadata"]["annotations"], spec["securityContext"], spec["runtimeClassName"], of_containers])
}

#[test]
fn every_rule_is_the_plugins() {
    let mut differences = Vec::new();
    let mut admitted = 0;
    for case in oracle::lines("psp/rules.jsonl.gz") {
        let policies = case["policies"].as_array().unwrap();
        let policies = policies.iter().map(|document| PodSecurityPolicy::parse(document).unwrap()).collect();
        let psp = Psp::new(policies, Authorisation::Everything, Release::V1_20);
        let admission = psp.admit(&creation(&defaults::pod(&case["pod"]))).unwrap();
        let verdict = &case["verdict"];
        let is_same = match &admission {
            Admission::Ignored => false,
            Admission::Rejected(rejection) => is_told(rejection, &verdict["admit"]),
            Admission::Admitted { object, .. } => {
                admitted += 1;
                let is_valid = matches!(psp.validate(&creation(object)).unwrap(), Admission::Admitted { .. });
                changed(object) == changed(&verdict["pod"]) && is_valid == verdict["validate"].is_null()
            }
        };
        if !is_same {
            differences.push(format!("{}\n{verdict}\n{admission:?}", case["pod"]));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences[0]);
    assert!(admitted > 10, "{admitted}");
}

/// A policy that allows everything, changed in its spec.
fn policy(name: &str, changes: Value) -> PodSecurityPolicy {
    let any = json!({"rule": "RunAsAny"});
    let mut document = json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": name},
        "spec": {"privileged": true, "volumes": ["*"], "runAsUser": any, "seLinux": any, "fsGroup": any,
            "supplementalGroups": any}});
    for (field, value) in changes.as_object().unwrap() {
        document["spec"][field] = value.clone();
    }
    PodSecurityPolicy::parse(&document).unwrap()
}

fn role(kind: &str, namespace: &str, name: &str, names: &[&str]) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
        "rules": [{"apiGroups": ["policy"], "resources": ["podsecuritypolicies"], "verbs": ["use"], "resourceNames": names}]})
}

fn binding(kind: &str, namespace: &str, role: (&str, &str), subject: Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "b", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1}, "subjects": [subject]})
}

#[test]
fn who_may_use_a_policy_is_in_roles_and_bindings() {
    let account = json!({"kind": "ServiceAccount", "name": "runner", "namespace": "default"});
    let account_of_binding = json!({"kind": "ServiceAccount", "name": "runner"});
    let controller = json!({"kind": "User", "name": "system:serviceaccount:argo:argo"});
    let group = |name: &str| json!({"kind": "Group", "name": name});
    let cluster = ("ClusterRole", "r");
    let mut wide = role("ClusterRole", "", "r", &[]);
    wide["rules"] = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let mut old = role("ClusterRole", "", "r", &["p"]);
    old["rules"][0]["apiGroups"] = json!(["extensions"]);
    let mut other = role("ClusterRole", "", "r", &["p"]);
    other["rules"][0]["resources"] = json!(["pods"]);
    let mut aggregated = role("ClusterRole", "", "r", &[]);
    aggregated["rules"] = Value::Null;
    aggregated["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    let mut part = role("ClusterRole", "", "part", &["p"]);
    part["metadata"]["labels"] = json!({"a": "b"});
    let named = |names| role("ClusterRole", "", "r", names);

    let cases = [
        (vec![], false),
        (vec![named(&["p"]), binding("ClusterRoleBinding", "", cluster, account.clone())], true),
        (vec![named(&["q"]), binding("ClusterRoleBinding", "", cluster, account.clone())], false),
        (vec![named(&[]), binding("RoleBinding", "default", cluster, account.clone())], true),
        (vec![named(&[]), binding("RoleBinding", "elsewhere", cluster, account.clone())], false),
        (vec![named(&[]), binding("RoleBinding", "default", cluster, account_of_binding)], true),
        (
            vec![
                role("Role", "default", "r", &["p"]),
                binding("RoleBinding", "default", ("Role", "r"), controller.clone()),
            ],
            true,
        ),
        (
            vec![role("Role", "elsewhere", "r", &["p"]), binding("RoleBinding", "default", ("Role", "r"), controller)],
            false,
        ),
        (vec![named(&[]), binding("ClusterRoleBinding", "", cluster, group("system:serviceaccounts:default"))], true),
        (vec![named(&[]), binding("ClusterRoleBinding", "", cluster, group("system:serviceaccounts:argo"))], true),
        (vec![named(&[]), binding("ClusterRoleBinding", "", cluster, group("system:authenticated"))], false),
        (vec![wide, binding("ClusterRoleBinding", "", cluster, account.clone())], true),
        (vec![old, binding("ClusterRoleBinding", "", cluster, account.clone())], true),
        (vec![other, binding("ClusterRoleBinding", "", cluster, account.clone())], false),
        (vec![aggregated, part, binding("ClusterRoleBinding", "", cluster, account.clone())], true),
        (vec![binding("ClusterRoleBinding", "", ("ClusterRole", "cluster-admin"), account.clone())], true),
    ];
    let pod = json!({"spec": {"serviceAccountName": "runner", "containers": [{"name": "c"}]}});
    let mut request = creation(&pod);
    request.user.name = "system:serviceaccount:argo:argo".to_owned();
    request.user.groups = vec!["system:serviceaccounts:argo".to_owned()];
    for (documents, expected) in cases {
        let rbac = Rbac::parse(&documents).unwrap();
        let psp = Psp::new(vec![policy("p", json!({}))], Authorisation::Rbac(rbac), Release::V1_20);
        let is_admitted = matches!(psp.admit(&request).unwrap(), Admission::Admitted { .. });
        assert_eq!(is_admitted, expected, "{documents:?}");
    }
    let rbac = Rbac::parse(&[binding("ClusterRoleBinding", "", ("ClusterRole", "gone"), account)]).unwrap();
    assert_eq!(rbac.missing().collect::<Vec<_>>(), ["ClusterRole gone"]);
    assert!(Rbac::parse(&[json!({"apiVersion": "v1", "kind": "Pod"})]).is_err());
}

#[test]
fn a_policy_that_changes_nothing_goes_first() {
    let non_root = json!({"runAsUser": {"rule": "MustRunAsNonRoot"}});
    let policies = || vec![policy("b", non_root.clone()), policy("a", non_root.clone()), policy("z", json!({}))];
    let pod = json!({"spec": {"containers": [{"name": "c"}]}});
    let chosen = |policies, names: &[&str]| {
        let usable: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let verdict =
            Psp::new(policies, Authorisation::Policies(usable), Release::V1_20).judge(&creation(&pod)).unwrap();
        (verdict.policy, verdict.message)
    };
    assert_eq!(chosen(policies(), &["a", "b", "z"]).0, "z");
    assert_eq!(chosen(policies(), &["a", "b"]).0, "a");
    assert_eq!(chosen(policies(), &["b"]).0, "b");
    assert_eq!(chosen(policies(), &[]).1, "PodSecurityPolicy: unable to admit pod: []");
    assert_eq!(chosen(vec![], &[]).1, "PodSecurityPolicy: no providers available to validate pod request");
}

#[test]
fn versions_differ_in_sysctls_and_ephemeral_containers() {
    let pod = |spec: Value| {
        let mut pod = json!({"spec": {"containers": [{"name": "c"}]}});
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        pod
    };
    let sysctl = pod(json!({"securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start"}]}}));
    let ephemeral = pod(json!({"ephemeralContainers": [{"name": "e", "securityContext": {"procMount": "Unmasked"}}]}));
    for (pod, release, expected) in [
        (&sysctl, Release::V1_20, false),
        (&sysctl, Release::V1_22, true),
        (&ephemeral, Release::V1_22, true),
        (&ephemeral, Release::V1_23, false),
    ] {
        let psp = Psp::new(vec![policy("p", json!({}))], Authorisation::Everything, release);
        let is_admitted = matches!(psp.admit(&creation(pod)).unwrap(), Admission::Admitted { .. });
        assert_eq!(is_admitted, expected, "{release:?} {pod}");
    }
}

#[test]
fn a_policy_that_does_not_hold_is_told_by_field() {
    let cases = [
        (json!({"kind": "Pod", "apiVersion": "v1"}), "v1 Pod is not a PodSecurityPolicy of policy/v1beta1"),
        (
            json!({"spec": {"runAsUser": {"rule": "MustRunAs"}}}),
            "PodSecurityPolicy p: spec.runAsUser.ranges: is required by the rule",
        ),
        (
            json!({"spec": {"fsGroup": {"rule": "MayRunAs", "ranges": [{"min": 5, "max": 1}]}}}),
            "PodSecurityPolicy p: spec.fsGroup.ranges[0]: 5 to 1 is no range of identifiers",
        ),
        (
            json!({"spec": {"seLinux": {"rule": "must"}}}),
            "PodSecurityPolicy p: spec.seLinux.rule: \"must\" is not one of MustRunAs, RunAsAny",
        ),
        (
            json!({"spec": {"volumes": ["hostpath"]}}),
            "PodSecurityPolicy p: spec.volumes[0]: \"hostpath\" is no kind of volume",
        ),
        (
            json!({"spec": {"requiredDropCapabilities": ["A"], "defaultAddCapabilities": ["A"]}}),
            "PodSecurityPolicy p: spec.defaultAddCapabilities: A is in requiredDropCapabilities too",
        ),
        (
            json!({"spec": {"allowPrivilegeEscalation": false, "defaultAllowPrivilegeEscalation": true}}),
            "PodSecurityPolicy p: spec.defaultAllowPrivilegeEscalation: is true, and allowPrivilegeEscalation is not",
        ),
        (
            json!({"spec": {"allowedHostPaths": [{"pathPrefix": "/a/.."}, {}]}}),
            "PodSecurityPolicy p: spec.allowedHostPaths[0].pathPrefix: must not contain ..; \
                spec.allowedHostPaths[1].pathPrefix: is required",
        ),
        (
            json!({"spec": {"runtimeClass": {"allowedRuntimeClassNames": ["a"], "defaultRuntimeClassName": "b"}}}),
            "PodSecurityPolicy p: spec.runtimeClass.allowedRuntimeClassNames: the default \"b\" is not in it",
        ),
        (
            json!({"spec": {"hostPorts": [{"min": "80"}]}}),
            "PodSecurityPolicy p: spec.hostPorts[0].min: an integer is expected",
        ),
    ];
    let any = json!({"rule": "RunAsAny"});
    for (mut document, expected) in cases {
        let fields = document.as_object_mut().unwrap();
        fields.entry("apiVersion").or_insert_with(|| json!("policy/v1beta1"));
        fields.entry("kind").or_insert_with(|| json!("PodSecurityPolicy"));
        fields.entry("metadata").or_insert_with(|| json!({"name": "p"}));
        let spec = fields.entry("spec").or_insert_with(|| json!({})).as_object_mut().unwrap();
        for field in ["runAsUser", "seLinux", "fsGroup", "supplementalGroups"] {
            spec.entry(field).or_insert_with(|| any.clone());
        }
        assert_eq!(PodSecurityPolicy::parse(&document).unwrap_err().to_string(), expected);
    }
}
