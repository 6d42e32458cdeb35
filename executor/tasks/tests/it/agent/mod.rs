//! An agent, between an API server and what its tasks ask.

mod api;
mod real;
mod target;

use serde_json::{Value, json};

use crate::pod::{Pod, until};

use api::Server as Api;
use target::{Answer, Server as Target};

fn http(url: &str) -> Value {
    json!({ "name": "h", "inputs": {}, "outputs": {}, "http": { "url": url } })
}

/// Runs the tasks of a set to their ends, and returns what was told of each.
fn told(tasks: &Value, api: &Api, pod: &Pod) -> Vec<Value> {
    api.tasks(tasks);
    let agent = pod.start_with(&["agent", "main"]);
    let nodes: Vec<_> = tasks.as_object().unwrap().keys().cloned().collect();
    until("every node", || {
        nodes.iter().all(|node| ["Succeeded", "Failed", "Error"].contains(&api.phase(node).as_str()))
    });
    api.complete();
    agent.end().is_fine();
    nodes.iter().map(|node| api.node(node).unwrap()).collect()
}

/// One task's outcome.
fn outcome(template: Value) -> Value {
    let api = Api::start();
    told(&json!({ "n": { "http": template } }), &api, &api.pod()).remove(0)
}

#[test]
fn a_request_is_made_and_its_body_is_the_result() {
    let (api, target) = (Api::start(), Target::start());
    target.answer("/a", 200, "hello");
    let told = told(&json!({ "w-1": http(&target.url("/a")) }), &api, &api.pod());
    assert_eq!(told, [json!({ "phase": "Succeeded", "message": "", "outputs": { "result": "hello" } })]);
    assert_eq!(target.target().asked[0].method, "GET");
    assert!(target.target().asked[0].header("user-agent").starts_with("argoexec/"));
}

#[test]
fn tasks_that_come_later_are_done_and_none_twice() {
    let (api, target) = (Api::start(), Target::start());
    for path in ["/a", "/b", "/c", "/d", "/e"] {
        target.answer(path, 200, "x");
    }
    api.tasks(&json!({ "a": http(&target.url("/a")) }));
    let pod = api.pod();
    let agent = pod.start_with(&["agent", "main"]);
    until("a", || api.phase("a") == "Succeeded");
    api.tasks(&json!({ "b": http(&target.url("/b")) }));
    until("b", || api.phase("b") == "Succeeded");

    // The watch ends, and what happens meanwhile is not lost.
    api.hang_up();
    api.tasks(&json!({ "c": http(&target.url("/c")) }));
    until("c", || api.phase("c") == "Succeeded");

    // The version is forgotten while no watch is there, and told of within one.
    api.api().forgotten = u64::MAX;
    api.hang_up();
    let lists = |api: &Api| api.api().asked.iter().filter(|asked| !asked.contains("watch=true")).count();
    until("another list", || lists(&api) > 1);
    api.api().forgotten = 0;
    api.tasks(&json!({ "d": http(&target.url("/d")) }));
    until("d", || api.phase("d") == "Succeeded");
    let before = lists(&api);
    api.say(json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "message": "too old" } }));
    api.tasks(&json!({ "e": http(&target.url("/e")) }));
    until("e", || api.phase("e") == "Succeeded");
    assert!(lists(&api) > before);

    // What is none is passed over.
    api.say(json!({ "type": "BOOKMARK", "object": { "metadata": { "resourceVersion": "99" } } }));
    api.say(json!("nonsense"));
    api.remove();
    agent.end().is_fine();
    for path in ["/a", "/b", "/c", "/d", "/e"] {
        assert_eq!(target.count(path), 1, "{path}");
    }
    assert!(api.watches() >= 4);
}

#[test]
fn a_set_that_is_gone_or_anothers_ends_the_agent() {
    let api = Api::start();
    api.tasks(&json!({}));
    let pod = api.pod();
    let agent = pod.start_with(&["agent", "main"]);
    until("a watch", || api.watches() == 1);
    api.remove();
    agent.end().is_fine();

    let (api, target) = (Api::start(), Target::start());
    api.tasks(&json!({ "a": http(&target.url("/a")) }));
    api.put(&json!({ "metadata": { "ownerReferences": [{ "kind": "Workflow", "name": "w", "uid": "another" }] } }));
    let pod = api.pod();
    pod.start_with(&["agent", "main"]).end().is_fine();
    assert_eq!(target.count("/a"), 0);
}

#[test]
fn what_an_agent_before_has_told_is_not_done_again() {
    let (api, target) = (Api::start(), Target::start());
    target.answer("/b", 200, "");
    api.put(&json!({ "status": { "nodes": { "a": { "phase": "Failed" } } } }));
    let told = told(&json!({ "a": http(&target.url("/a")), "b": http(&target.url("/b")) }), &api, &api.pod());
    assert_eq!((told[0]["phase"].as_str(), target.count("/a"), target.count("/b")), (Some("Failed"), 0, 1));
}

#[test]
fn who_may_not_list_watches_from_the_beginning() {
    let (api, target) = (Api::start(), Target::start());
    target.answer("/a", 200, "");
    api.api().may_not_list = true;
    told(&json!({ "a": http(&target.url("/a")) }), &api, &api.pod());
}

#[test]
fn without_a_right_nothing_is_done_and_the_right_is_named() {
    let target = Target::start();
    let cases = [
        (false, "list and watch on workflowtasksets.argoproj.io"),
        (true, "patch on workflowtasksets/status.argoproj.io"),
    ];
    for (may_watch, expected) in cases {
        let api = Api::start();
        api.tasks(&json!({}));
        api.api().may_not_watch = !may_watch;
        api.api().may_not_patch = may_watch;
        if may_watch {
            api.tasks(&json!({ "a": http(&target.url("/a")) }));
        }
        let pod = api.pod();
        let ended = pod.start_with(&["agent", "main"]).end();
        assert_eq!(ended.code, 64);
        assert!(ended.last_words.contains(expected), "{}", ended.last_words);
    }
    assert_eq!(target.count("/a"), 0);
}

#[test]
fn an_outcome_is_told_whatever_happens_to_others_and_to_the_server() {
    let (api, target) = (Api::start(), Target::start());
    api.api().refused = Some("b".to_owned());
    let tasks = ["a", "b", "c", "d", "e"].map(|node| {
        target.answer(&format!("/{node}"), 200, node);
        (node.to_owned(), http(&target.url(&format!("/{node}"))))
    });
    // The first is the proof that patches are allowed.
    api.api().troubles = [503, 500].into();
    let told = told(&Value::Object(tasks.into_iter().collect()), &api, &api.pod());
    for (told, node) in told.iter().zip(["a", "b", "c", "d", "e"]) {
        match node {
            "b" => {
                assert_eq!(told["phase"], "Error");
                assert!(told["message"].as_str().unwrap().contains("it is 422"), "{told}");
            }
            node => assert_eq!(told["outputs"]["result"], node),
        }
    }
}

#[test]
fn so_many_tasks_run_at_a_time_and_are_told_together() {
    let (api, target) = (Api::start(), Target::start());
    target.answer("/slow", 200, "");
    let tasks: serde_json::Map<_, _> =
        (0..8).map(|number| (format!("n{number}"), http(&target.url("/slow")))).collect();
    let pod = api.pod().with("ARGO_AGENT_TASK_WORKERS", "2").with("ARGO_AGENT_PATCH_RATE", "500ms");
    told(&tasks.into(), &api, &pod);
    let most = target.target().most;
    assert_eq!((most, target.count("/slow")), (2, 8));
    let patches = api.api().patches.len();
    assert!((2..=4).contains(&patches), "{patches}");
}

#[test]
fn an_agent_that_is_told_to_end_tells_what_it_knows() {
    let (api, target) = (Api::start(), Target::start());
    target.answer("/a", 200, "").answer("/b", 200, "");
    api.tasks(&json!({ "a": http(&target.url("/a")) }));
    let pod = api.pod().with("ARGO_AGENT_PATCH_RATE", "1h");
    let agent = pod.start_with(&["agent", "main"]);
    until("a", || api.phase("a") == "Succeeded");
    api.tasks(&json!({ "b": http(&target.url("/b")), "c": http(&target.url("/never")) }));
    until("both", || target.count("/b") + target.count("/never") == 2);
    // The answer to b has been sent; it is read before the signal is.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(api.phase("b"), "");
    agent.terminate();
    assert_eq!(agent.end().code, 143);
    assert_eq!((api.phase("b").as_str(), api.phase("c").as_str()), ("Succeeded", ""));
}

#[test]
fn what_a_template_says_is_what_is_asked() {
    let (api, target) = (Api::start(), Target::start());
    target.answer("/a", 200, "");
    api.api().secrets.insert("s".to_owned(), json!({ "data": { "k": "c2VjcmV0" } }));
    let secret = json!({ "secretKeyRef": { "name": "s", "key": "k" } });
    let template = json!({ "http": {
        "method": "PUT", "url": target.url("/a"), "body": "sent",
        "headers": [
            { "name": "x-a", "value": "1" }, { "name": "X-A", "value": "2" },
            { "name": "Authorization", "valueFrom": secret }, { "name": "Host", "value": "elsewhere.test" },
        ],
    } });
    let bytes = json!({ "http": { "method": "POST", "url": target.url("/a"), "bodyFrom": { "bytes": "AP8=" } } });
    told(&json!({ "a": template, "b": bytes }), &api, &api.pod());
    let target = target.target();
    let asked = |method: &str| target.asked.iter().find(|asked| asked.method == method).unwrap();
    let (put, post) = (asked("PUT"), asked("POST"));
    assert_eq!(put.body, b"sent");
    assert_eq!(put.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!((put.header("authorization"), put.header("host")), ("secret", "elsewhere.test"));
    assert_eq!(post.body, [0, 255]);
}

#[test]
fn a_response_is_judged_by_its_status_or_by_the_condition() {
    let target = Target::start();
    target
        .answer_with("/created", Answer(201, vec![("server", "nginx".to_owned())], "{\"state\":\"done\"}".to_owned()));
    target.answer("/missing", 404, "gone");
    target.answer("/broken", 500, "");
    let cases = [
        ("/created", "", "Succeeded", ""),
        ("/missing", "", "Failed", "received non-2xx response code: 404"),
        ("/broken", "", "Failed", "received non-2xx response code: 500"),
        ("/created", "response.statusCode == 201", "Succeeded", ""),
        ("/missing", "response.statusCode == 404", "Succeeded", ""),
        ("/created", "response.body contains \"done\"", "Succeeded", ""),
        ("/created", "response.headers[\"Server\"][0] == \"nginx\"", "Succeeded", ""),
        ("/created", "fromJSON(response.body).state == 'done' and request.method == ''", "Succeeded", ""),
        (
            "/created",
            "response.statusCode == 200",
            "Failed",
            "successCondition 'response.statusCode == 200' evaluated false",
        ),
        (
            "/created",
            "response.headers['X-None'][0] == 'x'",
            "Failed",
            "successCondition 'response.headers['X-None'][0] == 'x'' has no value: there is nothing at 0, of 0",
        ),
        (
            "/created",
            "response.body",
            "Failed",
            "successCondition 'response.body' has no value: it is a value of type string, and has to be a bool",
        ),
    ];
    let api = Api::start();
    let tasks: serde_json::Map<_, _> = cases
        .iter()
        .enumerate()
        .map(|(number, (path, condition, ..))| {
            (format!("n{number:02}"), json!({ "http": { "url": target.url(path), "successCondition": condition } }))
        })
        .collect();
    for (told, (path, condition, phase, message)) in told(&tasks.into(), &api, &api.pod()).iter().zip(cases) {
        let found = (told["phase"].as_str().unwrap(), told["message"].as_str().unwrap());
        assert_eq!(found, (phase, message), "{path} {condition}");
    }
    let unread = outcome(json!({ "url": target.url("/unread"), "successCondition": "respons.x" }));
    assert!(unread["message"].as_str().unwrap().contains("there is no respons"), "{unread}");
    assert_eq!(target.count("/unread"), 0);
}

#[test]
fn redirects_are_followed_as_gos_client_does() {
    let (target, other) = (Target::start(), Target::start());
    let to = |status, location: String| Answer(status, vec![("location", location)], String::new());
    other.answer("/end", 200, "end");
    target.answer("/end", 200, "end");
    for (path, status) in [("/301", 301), ("/302", 302), ("/303", 303), ("/307", 307), ("/308", 308)] {
        target.answer_with(path, to(status, "/end".to_owned()));
    }
    let elsewhere = other.url("/end").replace("127.0.0.1", "localhost");
    target.answer_with("/elsewhere", to(302, elsewhere));
    target.answer_with("/round", to(302, "/round".to_owned()));
    target.answer_with("/file", to(302, "file:///etc/passwd".to_owned()));
    target.answer("/nowhere", 302, "");
    let api = Api::start();
    api.api().secrets.insert("s".to_owned(), json!({ "data": { "k": "c2VjcmV0" } }));
    let headers = json!([
        { "name": "Authorization", "value": "a" }, { "name": "X-Plain", "value": "b" },
        { "name": "X-Key", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
    ]);
    let mut tasks = json!({});
    for path in ["301", "302", "303", "307", "308", "elsewhere", "round", "file", "nowhere"] {
        tasks[path] = json!({ "http": { "method": "POST", "body": "b", "headers": headers, "url": target.url(&format!("/{path}")) } });
    }
    let told = told(&tasks, &api, &api.pod());
    let told = |path: &str| {
        let place = tasks.as_object().unwrap().keys().position(|name| name == path).unwrap();
        (told[place]["phase"].as_str().unwrap(), told[place]["message"].as_str().unwrap().to_owned())
    };
    for path in ["301", "302", "303", "307", "308", "elsewhere"] {
        assert_eq!(told(path).0, "Succeeded", "{path}");
    }
    assert_eq!(told("round"), ("Failed", "stopped after 10 redirects".to_owned()));
    assert_eq!(target.count("/round"), 11);
    assert!(told("file").1.contains("file is not supported"), "{:?}", told("file"));
    assert_eq!(told("nowhere").1, "received non-2xx response code: 302");
    let asked = target.target();
    let mut ends: Vec<_> = asked.asked.iter().filter(|asked| asked.path == "/end").collect();
    ends.sort_by_key(|asked| asked.method.to_string());
    let methods: Vec<_> = ends.iter().map(|asked| (asked.method.as_str(), asked.body.len())).collect();
    assert_eq!(methods, [("GET", 0), ("GET", 0), ("GET", 0), ("POST", 1), ("POST", 1)]);
    assert!(ends.iter().all(|asked| asked.header("authorization") == "a" && asked.header("x-key") == "secret"));
    let other = other.target();
    let end = &other.asked[0];
    assert_eq!((end.header("authorization"), end.header("x-key"), end.header("x-plain")), ("", "", "b"));
}

#[test]
fn what_cannot_be_done_is_told() {
    let target = Target::start();
    target.answer("/large", 200, "x".repeat((1 << 20) + 1));
    let url = target.url("/a");
    let secret =
        |name: &str, key: &str| json!({ "valueFrom": { "secretKeyRef": { "name": name, "key": key } }, "name": "x" });
    let cases = [
        (json!({ "url": "nothing" }), "http.url is none"),
        (json!({ "url": "ftp://host/" }), "ftp is not supported"),
        (json!({ "url": url, "method": "A B" }), "http.method: \"A B\" is none"),
        (json!({ "url": url, "headers": [{ "name": "a b", "value": "" }] }), "is no name of a header"),
        (json!({ "url": url, "headers": [{ "name": "a", "value": "b\n" }] }), "an end of a line"),
        (json!({ "url": url, "bodyFrom": { "bytes": "?" } }), "no base64"),
        (json!({ "url": url, "headers": [secret("s", "none")] }), "the Secret s has no key none"),
        (json!({ "url": url, "headers": [secret("none", "k")] }), "404"),
        (json!({ "url": url, "headers": [secret("../s", "k")] }), "is no name of a Secret"),
        (json!({ "url": target.url("/never"), "timeoutSeconds": 1 }), "no whole response within 1s"),
        (json!({ "url": target.url("/never"), "timeoutSeconds": -1 }), "no whole response within 0ns"),
        (json!({ "url": target.url("/large") }), "longer than 1048576 bytes"),
        (json!({ "url": "http://127.0.0.1:1/?secret" }), "GET 127.0.0.1: "),
    ];
    let api = Api::start();
    api.api().secrets.insert("s".to_owned(), json!({ "data": { "k": "aGlkZGVu" } }));
    let mut tasks: serde_json::Map<_, _> = cases
        .iter()
        .enumerate()
        .map(|(number, (http, _))| (format!("n{number:02}"), json!({ "http": http })))
        .collect();
    tasks.insert("z-neither".to_owned(), json!({ "container": {} }));
    tasks.insert("z-none".to_owned(), json!({ "http": { "url": 5 } }));
    let told = told(&tasks.into(), &api, &api.pod());
    for (told, (http, expected)) in told.iter().zip(&cases) {
        let message = told["message"].as_str().unwrap();
        assert!(told["phase"] == "Failed" && message.contains(expected), "{http}: {told}");
        assert!(!message.contains("hidden") && !message.contains("secret"), "{message}");
    }
    assert_eq!(told[cases.len()]["phase"], "Error");
    assert!(told[cases.len() + 1]["message"].as_str().unwrap().contains("cannot be read"), "{told:?}");
}

#[test]
fn certificates_are_checked_unless_the_template_says_not_to() {
    let api = Api::start();
    let tasks = json!({
        "a": { "http": { "url": api.url() } },
        "b": { "http": { "url": api.url(), "insecureSkipVerify": true } },
    });
    let unknown = told(&tasks, &api, &api.pod());
    assert!(unknown[0]["message"].as_str().unwrap().contains("certificate"), "{}", unknown[0]);
    assert_eq!(unknown[1]["message"], "received non-2xx response code: 401");

    // Authorities that the controller mounts for agents.
    let api = Api::start();
    let pod = api.pod();
    pod.write("etc/ssl/certs/ca-certificates/mine.crt", api.authority());
    pod.write("etc/ssl/certs/ca-certificates/none.crt", "nothing");
    let known = told(&json!({ "a": { "http": { "url": api.url() } } }), &api, &pod);
    assert_eq!(known[0]["message"], "received non-2xx response code: 401");
}

/// A pod with plugins, whose tokens have been written.
fn with_plugins(api: &Api, plugins: &[(&str, &Target)]) -> Pod {
    let names: Vec<_> = plugins.iter().map(|(name, _)| *name).collect();
    let addresses: Vec<_> = plugins.iter().map(|(_, target)| format!("http://localhost:{}", target.port())).collect();
    let pod = api
        .pod()
        .with("ARGO_PLUGIN_NAMES", json!(names).to_string())
        .with("ARGO_PLUGIN_ADDRESSES", json!(addresses).to_string());
    pod.start_with(&["agent", "init"]).end().is_fine();
    pod
}

const EXECUTE: &str = "/api/v1/template.execute";

#[test]
fn plugins_are_asked_one_after_another() {
    let api = Api::start();
    let (passes, without, does) = (Target::start(), Target::start(), Target::start());
    passes.answer(EXECUTE, 200, "{}").answer(EXECUTE, 200, "");
    does.answer(EXECUTE, 503, "not yet");
    let succeeded = json!({ "node": { "phase": "Succeeded", "message": "Hello", "outputs": { "parameters": [{ "name": "foo", "value": 5 }] } } });
    does.answer(EXECUTE, 200, succeeded.to_string());
    let pod = with_plugins(&api, &[("passes", &passes), ("without", &without), ("does", &does)]);
    let template = json!({ "name": "p", "inputs": {}, "plugin": { "hello": {} }, "unknown": [1, 2.50] });
    let tasks = json!({ "a": template, "b": template });
    let told = told(&tasks, &api, &pod.with("ARGO_AGENT_TASK_WORKERS", "1"));
    for told in told {
        let expected = json!({ "phase": "Succeeded", "message": "Hello", "outputs": { "parameters": [{ "name": "foo", "value": "5" }] } });
        assert_eq!(told, expected);
    }
    assert_eq!((passes.count(EXECUTE), without.count(EXECUTE), does.count(EXECUTE)), (2, 1, 3));
    let asked = does.target();
    let asked = &asked.asked[0];
    assert_eq!(
        asked.json(),
        json!({ "workflow": { "metadata": { "name": "w", "namespace": "tests", "uid": "u" } }, "template": template })
    );
    assert_eq!((asked.method.as_str(), asked.header("content-type")), ("POST", "application/json"));
}

#[test]
fn a_plugin_knows_its_agent_by_a_token() {
    use std::os::unix::fs::PermissionsExt as _;
    let (api, target) = (Api::start(), Target::start());
    target.answer(EXECUTE, 200, "{\"node\":{\"phase\":\"Succeeded\"}}");
    let pod = with_plugins(&api, &[("one", &target), ("other", &Target::start())]);
    let mode = |place: &str| std::fs::metadata(pod.path(place)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("var/run/argo/one"), mode("var/run/argo/one/token")), (0o770, 0o440));
    let token = pod.text("var/run/argo/one/token");
    assert_ne!(token, pod.text("var/run/argo/other/token"));
    assert_eq!(token.len(), 32);
    told(&json!({ "a": { "plugin": {} } }), &api, &pod);
    assert_eq!(target.target().asked[0].header("authorization"), format!("Bearer {token}"));
    // As after the node was started anew.
    pod.start_with(&["agent", "init"]).end().is_fine();
    assert_ne!(token, pod.text("var/run/argo/one/token"));
}

#[test]
fn a_plugin_that_asks_for_it_is_asked_again() {
    let (api, target) = (Api::start(), Target::start());
    target.answer(
        EXECUTE,
        200,
        "{\"node\":{\"phase\":\"Running\",\"message\":\"begun\",\"progress\":\"1/2\"},\"requeue\":\"300ms\"}",
    );
    target.answer(EXECUTE, 200, "{\"node\":{},\"requeue\":\"100ms\"}");
    target.answer(EXECUTE, 200, "{\"node\":{\"phase\":\"Succeeded\"},\"requeue\":\"1ms\"}");
    let pod = with_plugins(&api, &[("one", &target)]);
    let told = told(&json!({ "a": { "plugin": {} } }), &api, &pod);
    // The message of the first is not that of the last.
    assert_eq!(told[0], json!({ "phase": "Succeeded", "message": "", "progress": "1/2" }));
    assert_eq!(target.count(EXECUTE), 3);
    assert_eq!(api.api().patches[0]["status"]["nodes"]["a"]["phase"], "Running");
}

#[test]
fn what_is_wrong_with_a_plugin_is_told() {
    let cases = [
        (200, "{\"node\":{\"phase\":\"Done\"}}", "plugin p: its answer is none: \"Done\" is no phase"),
        (200, "[", "plugin p: its answer is none"),
        (403, "no", "plugin p: 403 Forbidden: no"),
        (500, "broken", "plugin p: 500 Internal Server Error: broken"),
        (302, "", "plugin p: 302 Found"),
        (404, "", "no plugin executed the template"),
    ];
    for (status, body, expected) in cases {
        let (api, target) = (Api::start(), Target::start());
        target.answer(EXECUTE, status, body);
        let pod = with_plugins(&api, &[("p", &target)]);
        let told = told(&json!({ "a": { "plugin": {} } }), &api, &pod);
        assert_eq!(told[0]["phase"], "Failed", "{status}");
        assert!(told[0]["message"].as_str().unwrap().starts_with(expected), "{}", told[0]);
        assert_eq!(target.count(EXECUTE), 1);
    }
}

#[test]
fn variables_that_make_no_sense_are_told() {
    let cases = [
        ("init", "ARGO_PLUGIN_NAMES", "[\"../x\"]", "is no name of a container"),
        ("init", "ARGO_PLUGIN_NAMES", "x", "is no list of texts"),
        ("main", "ARGO_PLUGIN_NAMES", "[\"x\"]", "has 1 plugins and ARGO_PLUGIN_ADDRESSES 0"),
        ("main", "ARGO_WORKFLOW_NAME", "", "ARGO_WORKFLOW_NAME is not set"),
        ("else", "ARGO_PLUGIN_NAMES", "[]", "it knows init and main"),
    ];
    for (word, name, value, expected) in cases {
        let pod = Api::start().pod().with(name, value);
        let ended = pod.start_with(&["agent", word]).end();
        assert_eq!(ended.code, 64, "{name}");
        assert!(ended.last_words.contains(expected), "{}", ended.last_words);
    }
    // As the controller writes a list of none.
    let pod = Api::start().pod().with("ARGO_PLUGIN_NAMES", "null");
    pod.start_with(&["agent", "init"]).end().is_fine();
}
