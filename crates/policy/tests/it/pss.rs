use emissary_policy::pss::{self, Configuration, Level, Modes, Pss, Standard, Version};
use emissary_policy::{Decision, Operation};
use serde_json::{Value, json};

use crate::oracle;
use crate::requests::{creation, namespace};

#[test]
fn every_recorded_verdict_is_ours() {
    let mut differences = Vec::new();
    for case in oracle::cases("pss") {
        for verdict in case["verdicts"].as_array().unwrap() {
            let level = Level::parse(verdict["level"].as_str().unwrap()).unwrap();
            let version = Version::parse(verdict["version"].as_str().unwrap()).unwrap();
            let standard = Standard { level, version };
            let evaluation = pss::evaluate(standard, &case["pod"]).unwrap();
            assert_eq!(evaluation.is_allowed(), verdict["allowed"].as_bool().unwrap());
            if evaluation.detail() != verdict["detail"].as_str().unwrap_or_default() {
                differences.push(format!(
                    "{}\n{standard}: {}\n{}",
                    case["pod"],
                    evaluation.detail(),
                    verdict["detail"]
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences[0]);
}

/// Pointers and values.
type Changes = Vec<(String, Value)>;

/// A pod that restricted has nothing against, with one container, changed at a pointer.
fn restricted_but(changes: &[(&str, Value)]) -> Value {
    let mut pod = json!({"metadata": {"annotations": {}}, "spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "securityContext":
            {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}});
    for (pointer, value) in changes {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = pod.pointer_mut(parent).unwrap();
        parent[field] = value.clone();
    }
    pod
}

/// By level and minor version; `u32::MAX` is the latest.
fn detail(level: Level, minor: u32, pod: &Value) -> String {
    let version = if minor == u32::MAX { Version::Latest } else { Version::Minor(minor) };
    pss::evaluate(Standard { level, version }, pod).unwrap().detail()
}

#[test]
fn versions_have_rules_of_their_own() {
    use Level::{Baseline, Restricted};
    const LATEST: u32 = u32::MAX;
    let container = "/spec/containers/0/securityContext";
    let at = |field: &str| format!("{container}/{field}");
    let sysctl = |name: &str| vec![("/spec/securityContext/sysctls".to_owned(), json!([{"name": name, "value": "1"}]))];
    let bare = vec![(container.to_owned(), json!({})), ("/spec/securityContext".to_owned(), json!({}))];
    let windows = |mut changes: Changes| {
        changes.push(("/spec/os".to_owned(), json!({"name": "windows"})));
        changes
    };
    let unshared = |mut changes: Changes| {
        changes.push(("/spec/hostUsers".to_owned(), json!(false)));
        changes
    };
    let startup = vec![("/spec/containers/0/startupProbe".to_owned(), json!({"tcpSocket": {"host": "h", "port": 1}}))];
    let unmasked = vec![(at("procMount"), json!("Unmasked"))];
    let root = vec![(at("runAsUser"), json!(0))];
    let may_be_root = vec![(at("runAsNonRoot"), json!(false))];
    let engine = vec![(at("seLinuxOptions"), json!({"type": "container_engine_t"}))];
    let annotated = vec![(
        "/metadata/annotations".to_owned(),
        json!({
        "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
        "container.seccomp.security.alpha.kubernetes.io/a": "",
        "container.seccomp.security.alpha.kubernetes.io/nobody": "unconfined"}),
    )];
    let unconfined = vec![(at("seccompProfile"), json!({"type": "Unconfined"}))];
    let binds = vec![(at("capabilities"), json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}))];

    let escalation =
        r#"allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)"#;
    let capabilities =
        r#"unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])"#;
    let non_root = r#"runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)"#;
    let seccomp = r#"seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#;
    let proc_mount = r#"procMount (container "a" must not set securityContext.procMount to "Unmasked")"#;
    let user = r#"runAsUser=0 (container "a" must not set runAsUser=0)"#;
    let explicit = r#"runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)"#;
    let se_linux =
        r#"seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "container_engine_t")"#;
    let annotations = r#"seccompProfile (forbidden annotations container.seccomp.security.alpha.kubernetes.io/a="", seccomp.security.alpha.kubernetes.io/pod="unconfined")"#;
    let profile = r#"seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")"#;
    let host = r#"probe or lifecycle host (container "a" uses probe or lifecycle host "h")"#;
    let forbidden = |name: &str| format!("forbidden sysctls ({name})");

    let cases: Vec<(Changes, Level, u32, String)> = vec![
        (bare.clone(), Restricted, 0, non_root.to_owned()),
        (bare.clone(), Restricted, 7, non_root.to_owned()),
        (bare.clone(), Restricted, 8, [escalation, non_root].join(", ")),
        (bare.clone(), Restricted, 19, [escalation, non_root, seccomp].join(", ")),
        (bare.clone(), Restricted, 22, [escalation, capabilities, non_root, seccomp].join(", ")),
        (bare.clone(), Restricted, LATEST, [escalation, capabilities, non_root, seccomp].join(", ")),
        (windows(bare.clone()), Restricted, 24, [escalation, capabilities, non_root, seccomp].join(", ")),
        (windows(bare.clone()), Restricted, 25, non_root.to_owned()),
        (bare, Baseline, LATEST, String::new()),
        (sysctl("net.ipv4.ip_unprivileged_port_start"), Baseline, 0, String::new()),
        (sysctl("net.ipv4.ip_local_reserved_ports"), Baseline, 26, forbidden("net.ipv4.ip_local_reserved_ports")),
        (sysctl("net.ipv4.ip_local_reserved_ports"), Baseline, 27, String::new()),
        (sysctl("net.ipv4.tcp_fin_timeout"), Baseline, 28, forbidden("net.ipv4.tcp_fin_timeout")),
        (sysctl("net.ipv4.tcp_fin_timeout"), Baseline, 29, String::new()),
        (sysctl("net.ipv4.tcp_wmem"), Baseline, 31, forbidden("net.ipv4.tcp_wmem")),
        (sysctl("net.ipv4.tcp_wmem"), Baseline, 32, String::new()),
        (sysctl("net.ipv4.tcp_notsent_lowat"), Baseline, 36, forbidden("net.ipv4.tcp_notsent_lowat")),
        (sysctl("net.ipv4.tcp_notsent_lowat"), Baseline, 37, String::new()),
        (sysctl("net.ipv4.tcp_notsent_lowat"), Baseline, 4711, String::new()),
        (startup.clone(), Baseline, 33, String::new()),
        (startup, Baseline, 34, host.to_owned()),
        (unmasked.clone(), Baseline, 34, proc_mount.to_owned()),
        (unshared(unmasked.clone()), Baseline, 34, proc_mount.to_owned()),
        (unshared(unmasked.clone()), Baseline, 35, String::new()),
        (unshared(unmasked), Restricted, 35, proc_mount.to_owned()),
        (root.clone(), Restricted, 22, String::new()),
        (root.clone(), Restricted, 23, user.to_owned()),
        (unshared(root.clone()), Restricted, 34, user.to_owned()),
        (unshared(root), Restricted, 35, String::new()),
        (unshared(may_be_root.clone()), Restricted, 34, explicit.to_owned()),
        (unshared(may_be_root), Restricted, 35, String::new()),
        (engine.clone(), Baseline, 30, se_linux.to_owned()),
        (engine, Baseline, 31, String::new()),
        (annotated.clone(), Baseline, 18, annotations.to_owned()),
        (annotated, Baseline, 19, String::new()),
        (unconfined.clone(), Baseline, 18, String::new()),
        (unconfined.clone(), Baseline, 19, profile.to_owned()),
        (unconfined, Restricted, 19, profile.to_owned()),
        (binds.clone(), Restricted, 21, String::new()),
        (
            binds,
            Restricted,
            22,
            r#"unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)"#
                .to_owned(),
        ),
    ];
    for (changes, level, minor, expected) in cases {
        let changes: Vec<(&str, Value)> = changes.iter().map(|(at, value)| (at.as_str(), value.clone())).collect();
        assert_eq!(detail(level, minor, &restricted_but(&changes)), expected, "{level} 1.{minor}: {changes:?}");
    }
}

#[test]
fn ephemeral_containers_and_both_levels_of_fields_count() {
    let cases = [
        (
            json!({"ephemeralContainers": [{"name": "e", "securityContext": {"privileged": true}}],
                "initContainers": [{"name": "i", "securityContext": {"privileged": true}}],
                "containers": [{"name": "c", "securityContext": {"privileged": true}}]}),
            r#"privileged (containers "i", "c", "e" must not set securityContext.privileged=true)"#,
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}},
                "containers": [{"name": "c", "securityContext": {"appArmorProfile": {"type": ""}}}]}),
            r#"forbidden AppArmor profiles (pod and container "c" must not set AppArmor profile type to "", "Unconfined")"#,
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}},
                "containers": [{"name": "c", "securityContext": {"windowsOptions": {"hostProcess": true}}}]}),
            r#"hostProcess (pod and container "c" must not set securityContext.windowsOptions.hostProcess=true)"#,
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"user": "u", "role": "r", "type": "t"}},
                "containers": [{"name": "c", "securityContext": {"seLinuxOptions": {"type": "s"}}}]}),
            r#"seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: types "s", "t"; user may not be set; role may not be set)"#,
        ),
        (
            json!({"hostNetwork": true, "hostIPC": true, "shareProcessNamespace": true}),
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        (
            json!({"containers": [{"name": "c", "ports": [{"hostPort": 9}, {"hostPort": 80}, {"hostPort": 80}, {}]}, null]}),
            r#"hostPort (container "c" uses hostPorts 80, 9)"#,
        ),
        (
            json!({"volumes": [{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": null}]}),
            r#"hostPath volumes (volume "v")"#,
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(detail(Level::Baseline, u32::MAX, &json!({"spec": spec})), expected);
    }
}

#[test]
fn a_field_of_another_type_is_named() {
    let cases = [
        (json!({"spec": 1}), "spec: an object is expected"),
        (json!({"spec": {"hostPID": "{{x}}"}}), "spec.hostPID: true or false is expected"),
        (
            json!({"spec": {"containers": [{}, {"securityContext": {"runAsUser": "0"}}]}}),
            "spec.containers[1].securityContext.runAsUser: an integer is expected",
        ),
        (
            json!({"spec": {"ephemeralContainers": [{"securityContext": {"capabilities": {"add": ["A", 1]}}}]}}),
            "spec.ephemeralContainers[0].securityContext.capabilities.add[1]: a string is expected",
        ),
        (json!({"metadata": {"annotations": {"a/b": 1}}}), "metadata.annotations[a/b]: a string is expected"),
        (json!({"spec": {"volumes": [{"hostPath": "/"}]}}), "spec.volumes[0].hostPath: an object is expected"),
        (json!({"spec": {"containers": {}}}), "spec.containers: a list is expected"),
    ];
    let standard = Standard { level: Level::Baseline, version: Version::Latest };
    for (pod, expected) in cases {
        assert_eq!(pss::evaluate(standard, &pod).unwrap_err().to_string(), expected);
        let verdicts = Pss::fixed(standard).judge(&creation(&pod));
        assert_eq!((verdicts.len(), verdicts[0].decision), (1, Decision::Unknown));
        assert_eq!(verdicts[0].message, expected);
    }
}

/// Privileged, and so against both levels that have checks.
fn bad() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"runtimeClassName": "kata",
        "containers": [{"name": "c", "image": "i", "securityContext": {"privileged": true}}]}})
}

const PRIVILEGED: &str = r#"privileged (container "c" must not set securityContext.privileged=true)"#;

#[test]
fn labels_decide_what_follows() {
    use Decision::{Allowed, Denied, Warned};
    type Case = (&'static [(&'static str, &'static str)], &'static [(&'static str, Decision)]);
    let cases: [Case; 6] = [
        (&[], &[]),
        (&[("enforce", "baseline")], &[("baseline:latest", Denied)]),
        (
            &[("enforce", "baseline"), ("audit", "restricted")],
            &[("baseline:latest", Denied), ("restricted:latest", Warned)],
        ),
        (&[("warn", "baseline"), ("audit", "baseline")], &[("baseline:latest", Warned)]),
        (&[("warn", "baseline"), ("warn-version", "v1.20")], &[("baseline:v1.20", Warned)]),
        (&[("enforce", "privileged"), ("enforce-version", "v1.20")], &[]),
    ];
    for (labels, expected) in cases {
        let mut request = creation(&bad());
        request.namespace_object = Some(namespace(labels));
        let verdicts = Pss::new(Configuration::default()).judge(&request);
        let found: Vec<(&str, Decision)> = verdicts.iter().map(|v| (v.policy.as_str(), v.decision)).collect();
        assert_eq!(found, expected, "{labels:?}");
    }
    let standard = Standard { level: Level::Baseline, version: Version::Minor(30) };
    let verdicts = Pss::fixed(standard).judge(&creation(&bad()));
    assert_eq!(verdicts[0].message, format!("violates PodSecurity \"baseline:v1.30\": {PRIVILEGED}"));
    let good = json!({"spec": {"containers": [{"name": "c"}]}});
    assert_eq!(Pss::fixed(standard).judge(&creation(&good))[0].decision, Allowed);
}

#[test]
fn answers_are_the_api_servers() {
    let respond = |labels: &[(&str, &str)], change: &dyn Fn(&mut emissary_policy::Request)| {
        let mut request = creation(&bad());
        request.namespace_object = Some(namespace(labels));
        change(&mut request);
        let mut configuration = Configuration::default();
        configuration.exempt_users.insert("root".to_owned());
        configuration.exempt_namespaces.insert("kube-system".to_owned());
        configuration.exempt_runtime_classes.insert("gvisor".to_owned());
        Pss::new(configuration).admit(&request).unwrap()
    };
    let same = |_: &mut emissary_policy::Request| ();
    let all = [("enforce", "baseline"), ("audit", "baseline"), ("warn", "baseline")];
    let told = [("audit", "baseline"), ("warn", "baseline"), ("enforce", "bogus-level"), ("enforce-version", "v1.20")];

    let denied = respond(&all, &same);
    assert_eq!(denied.denial.unwrap(), format!("violates PodSecurity \"baseline:latest\": {PRIVILEGED}"));
    assert_eq!(denied.warnings, [""; 0]);
    let would = format!("would violate PodSecurity \"baseline:latest\": {PRIVILEGED}");
    let annotations = [("enforce-policy", "baseline:latest".to_owned()), ("audit-violations", would.clone())];
    assert_eq!(denied.audit_annotations, annotations);

    let warned = respond(&told[..2], &same);
    assert_eq!((warned.denial, warned.warnings), (None, vec![would.clone()]));
    assert_eq!(warned.audit_annotations[0], ("enforce-policy", "privileged:latest".to_owned()));

    let unclear = respond(&told[2..], &same);
    let error = "Failed to parse policy: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"bogus-level\": \
        must be one of privileged, baseline, restricted";
    assert_eq!(unclear.audit_annotations[0], ("error", error.to_owned()));
    assert_eq!(unclear.audit_annotations[1], ("enforce-policy", "restricted:v1.20".to_owned()));

    let exempt = |reason: &str, change: &dyn Fn(&mut emissary_policy::Request)| {
        let response = respond(&all, change);
        assert_eq!((response.denial, response.audit_annotations), (None, vec![("exempt", reason.to_owned())]));
    };
    exempt("user", &|request| request.user.name = "root".to_owned());
    exempt("namespace", &|request| request.namespace = "kube-system".to_owned());
    exempt("runtimeClass", &|request| request.object["spec"]["runtimeClassName"] = json!("gvisor"));

    let template = respond(&all, &|request| {
        request.kind.group = "batch".to_owned();
        request.kind.kind = "CronJob".to_owned();
        request.resource = "cronjobs".to_owned();
        request.object = json!({"spec": {"jobTemplate": {"spec": {"template": bad()}}}});
    });
    assert_eq!((template.denial, template.warnings), (None, vec![would]));

    for sub_resource in ["exec", "status", "binding", "eviction"] {
        let response = respond(&all, &|request| request.sub_resource = sub_resource.to_owned());
        assert_eq!(response, pss::Response::default());
    }
    let ephemeral = respond(&all, &|request| request.sub_resource = "ephemeralcontainers".to_owned());
    assert!(ephemeral.denial.is_some());

    let unknown = Pss::new(Configuration::default()).judge(&creation(&bad()));
    assert_eq!(unknown[0].decision, Decision::Unknown, "{unknown:?}");
}

#[test]
fn updates_count_where_images_or_containers_change() {
    let standard = Standard { level: Level::Baseline, version: Version::Latest };
    let pss = Pss::new(Configuration { defaults: Modes::all(standard), ..Configuration::default() });
    let changes: [(&str, Value, bool); 5] = [
        ("/metadata", json!({"labels": {"a": "b"}}), false),
        ("/spec/containers/0/image", json!("j"), true),
        ("/spec/initContainers", json!([{"name": "i"}]), true),
        ("/spec/ephemeralContainers", json!([{"name": "e"}]), true),
        ("/spec/tolerations", json!([]), false),
    ];
    for (pointer, value, is_judged) in changes {
        let mut request = creation(&bad());
        request.namespace_object = Some(namespace(&[]));
        request.operation = Operation::Update;
        request.old_object = bad();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        request.object.pointer_mut(parent).unwrap()[field] = value;
        assert_eq!(pss.judge(&request).len(), usize::from(is_judged), "{pointer}");
    }
}
