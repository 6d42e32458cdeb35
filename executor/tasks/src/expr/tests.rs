//! Expressions and what they come to: `oracle.jsonl` is what expr 1.17.5 made of each, given the variables below.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

/// Each expression, and its value there or that it was refused.
const ORACLE: &str = include_str!("oracle.jsonl");

/// There, what is wrong with constants is found before anything is evaluated.
const CONSTANT: &str = "types are looked at when an operator meets them";

/// As JSON that is the same number.
const FLOAT: &str = "a float is written in its shortest form";

/// Where ours differs, and why.
const DIFFERENT: [(&str, &str); 12] = [
    ("true == 1", CONSTANT),
    ("true || nil", CONSTANT),
    ("data[1.7]", CONSTANT),
    ("data[float(\"1.7\")]", CONSTANT),
    ("toJSON(1e20)", FLOAT),
    ("toJSON(0.000001)", FLOAT),
    ("\"hello\"[0]", CONSTANT),
    ("\"hello\"[-1]", CONSTANT),
    ("1 in nil", CONSTANT),
    ("get(nil, \"a\")", CONSTANT),
    ("nil matches \"a\"", CONSTANT),
    ("response.headers.Get(\"Server\")", "there are no methods"),
];

fn variables() -> [(&'static str, Value); 3] {
    let list = |values: &[&str]| values.iter().map(|value| Value::text(value)).collect::<Vec<_>>();
    let headers = Map::of_lists([
        ("Server", list(&["nginx"])),
        ("Set-Cookie", list(&["a=1", "b=2"])),
        ("Content-Type", list(&["application/json"])),
    ]);
    [
        (
            "request",
            Map::of([
                ("method", Value::text("POST")),
                ("url", Value::text("https://example.test/a?b=c")),
                ("body", Value::text("in")),
                ("headers", Map::of_lists([("X-A", list(&["b"]))])),
            ]),
        ),
        (
            "response",
            Map::of([
                ("statusCode", Value::Int(201)),
                ("body", Value::text("{\"state\":\"done\",\"n\":3}")),
                ("headers", headers),
            ]),
        ),
        ("data", Value::list_of(list(&["main-a.log", "main-b.txt", "c.pdf"]))),
    ]
}

fn evaluate(source: &str) -> Result<Value, ExpressionError> {
    let variables = variables();
    let names = variables.each_ref().map(|(name, _)| *name);
    Expression::parse(source, &names)?.evaluate(&variables)
}

/// Numbers are what they are worth.
fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => one.as_f64() == other.as_f64(),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        (one, other) => one == other,
    }
}

#[test]
fn every_expression_is_what_expr_makes_of_it() {
    let mut wrong = Vec::new();
    for line in ORACLE.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        let source = line["expression"].as_str().unwrap();
        let ours = evaluate(source);
        let agrees = match (&ours, line.get("refused")) {
            (Ok(value), None) => same(&value.to_json(), &line["value"]),
            (Err(_), Some(_)) => true,
            _ => false,
        };
        if agrees == DIFFERENT.iter().any(|(different, _)| *different == source) {
            wrong.push(format!("{line}\n  ours: {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_wrong_is_told() {
    let cases = [
        ("respons.statusCode == 1", "byte 1: there is no respons; there are: request, response, data"),
        ("response.statusCode ==", "byte 23: it ends too early"),
        ("response.body contain \"x\"", "byte 15: \"contain\" cannot stand here"),
        ("now() > 1", "byte 1: now() is not supported: there are no dates"),
        ("nosuch(1)", "byte 1: there is no function nosuch"),
        ("\"a\".upper()", "byte 10: the method upper is not supported: there are functions only"),
        ("upper(1, 2)", "byte 1: upper does not take 2 arguments"),
        ("response.body > 1", "a comparison does not take a value of type string and one of type int"),
        ("response.none.x", "a value of type nil has no x"),
        ("data[7]", "there is nothing at 7, of 3"),
        ("int(\"x\")", "int: the string is no whole number"),
        ("1 + 'a", "byte 5: the text is not closed"),
        ("1 @ 2", "byte 3: '@' has no meaning here"),
    ];
    for (source, expected) in cases {
        assert_eq!(evaluate(source).unwrap_err().to_string(), expected, "{source}");
    }
}

#[test]
fn what_is_given_may_be_large() {
    let names = Value::list_of(
        (0..300_000).map(|number| Value::text(&format!("folder/with/a/long/name/of/an/object-{number}"))),
    );
    let cases =
        [("filter(data, # endsWith \"99999\")", 3), ("filter(data, # matches \"-[0-9]$\")", 10), ("data[:7]", 7)];
    for (source, expected) in cases {
        let value = Expression::parse(source, &["data"]).unwrap().evaluate(&[("data", names.clone())]);
        assert_eq!(value.unwrap().list().unwrap().len(), expected, "{source}");
    }
}

#[test]
fn a_condition_has_to_be_true_or_false() {
    let expression = Expression::parse("1 + 1", &[]).unwrap();
    assert_eq!(expression.holds(&[]).unwrap_err().to_string(), "it is a value of type int, and has to be a bool");
}

#[test]
fn what_would_take_a_machine_is_refused() {
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    let long = format!("{}1", "1+".repeat(40_000));
    let negative = format!("{}1", "-".repeat(5000));
    let row = format!("{}true", "true and ".repeat(2000));
    let cases = [
        (deep.as_str(), "nested more than"),
        (&long, "longer than"),
        (&negative, "nested more than"),
        ("1..1000000000000", "too much memory"),
        ("repeat(\"a\", 1000000000)", "too much memory"),
        ("reduce(1..60, [#acc, #acc], \"x\")", "too large"),
        ("reduce(1..100000, [#acc])", "too large"),
        ("len(map(1..2000, map(1..2000, #)))", "too m"),
        ("reduce(1..100, #acc + #acc, \"x\")", "too large"),
        ("data[0] matches \"(a{1000}){1000}\"", "matches"),
    ];
    for (source, expected) in cases {
        let error = evaluate(source).unwrap_err().to_string();
        assert!(error.contains(expected), "{source:.60}: {error}");
    }
    assert_eq!(evaluate(&row).unwrap().to_json(), json!(true));
}

/// Parts that expressions are made of, so that what is drawn is often one.
const PARTS: [&str; 40] = [
    "response",
    ".body",
    ".statusCode",
    "data",
    "[0]",
    "[1:]",
    "?.x",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "#",
    "#acc",
    ".",
    "..",
    "1",
    "2.5",
    "\"a\"",
    "'b'",
    "nil",
    "true",
    " and ",
    " or ",
    " not ",
    " in ",
    " contains ",
    " matches ",
    "==",
    "<",
    "??",
    "?",
    ":",
    ",",
    ";",
    "map(",
    "reduce(",
    "split(",
    "let x = ",
];

proptest! {
    #[test]
    fn any_text_is_read_or_refused(source in ".*|[a-z0-9#(){}\\[\\].,;:?|&=<>!'\"` ]{0,40}") {
        let _ = evaluate(&source);
    }

    #[test]
    fn any_parts_are_read_or_refused(parts in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..24)) {
        if let Ok(value) = evaluate(&parts.concat()) {
            value.to_json();
        }
    }

    #[test]
    fn json_goes_in_and_comes_out(text in ".*", number in any::<i32>(), truth in any::<bool>()) {
        let json = json!({ "text": text, "list": [number, truth, null, {}], "number": f64::from(number) / 4.0 });
        prop_assert!(same(&Value::of_json(&json).to_json(), &json));
    }
}
