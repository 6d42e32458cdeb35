//! The functions of OPA 1.22, as `opa capabilities` lists them.
//!
//! Each with its arguments, and what it returns, a letter a type: `z` null, `b` boolean, `n` number, `s` string, `a` array, `o` object, `t`
//! set, `*` anything. `print` is missing, since it takes as many as it is given.
//!
//! One file: it is one table.

/// A set of types.
pub(super) type Types = u8;

pub(super) const NULL: Types = 1;
pub(super) const BOOLEAN: Types = 2;
pub(super) const NUMBER: Types = 4;
pub(super) const STRING: Types = 8;
pub(super) const ARRAY: Types = 16;
pub(super) const OBJECT: Types = 32;
pub(super) const SET: Types = 64;
pub(super) const ANY: Types = Types::MAX;

/// What is known of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) arguments: Vec<Types>,
    pub(super) result: Types,
}

/// A function by its name.
pub(super) fn find(name: &str) -> Option<Function> {
    let at = FUNCTIONS.binary_search_by_key(&name, |(name, _, _)| *name).ok()?;
    let (name, arguments, result) = FUNCTIONS.get(at)?;
    Some(Function { name, arguments: arguments.split_ascii_whitespace().map(types).collect(), result: types(result) })
}

fn types(letters: &str) -> Types {
    let of_letter = |letter| match letter {
        'z' => NULL,
        'b' => BOOLEAN,
        'n' => NUMBER,
        's' => STRING,
        'a' => ARRAY,
        'o' => OBJECT,
        't' => SET,
        _ => ANY,
    };
    letters.chars().map(of_letter).fold(0, |all, one| all | one)
}

/// Sorted by name.
const FUNCTIONS: [(&str, &str, &str); 198] = [
    ("abs", "n", "n"),
    ("all", "at", "b"),
    ("and", "t t", "t"),
    ("any", "at", "b"),
    ("array.concat", "a a", "a"),
    ("array.flatten", "a", "a"),
    ("array.reverse", "a", "a"),
    ("array.slice", "a n n", "a"),
    ("base64.decode", "s", "s"),
    ("base64.encode", "s", "s"),
    ("base64.is_valid", "s", "b"),
    ("base64url.decode", "s", "s"),
    ("base64url.encode", "s", "s"),
    ("base64url.encode_no_pad", "s", "s"),
    ("bits.and", "n n", "n"),
    ("bits.lsh", "n n", "n"),
    ("bits.negate", "n", "n"),
    ("bits.or", "n n", "n"),
    ("bits.rsh", "n n", "n"),
    ("bits.xor", "n n", "n"),
    ("cast_array", "*", "a"),
    ("cast_boolean", "*", "b"),
    ("cast_null", "*", "z"),
    ("cast_object", "*", "o"),
    ("cast_set", "*", "t"),
    ("cast_string", "*", "s"),
    ("ceil", "n", "n"),
    ("concat", "s at", "s"),
    ("contains", "s s", "b"),
    ("count", "aost", "n"),
    ("crypto.hmac.equal", "s s", "b"),
    ("crypto.hmac.md5", "s s", "s"),
    ("crypto.hmac.sha1", "s s", "s"),
    ("crypto.hmac.sha256", "s s", "s"),
    ("crypto.hmac.sha512", "s s", "s"),
    ("crypto.md5", "s", "s"),
    ("crypto.parse_private_keys", "s", "a"),
    ("crypto.sha1", "s", "s"),
    ("crypto.sha256", "s", "s"),
    ("crypto.x509.parse_and_verify_certificates", "s", "a"),
    ("crypto.x509.parse_and_verify_certificates_with_options", "s o", "a"),
    ("crypto.x509.parse_certificate_request", "s", "o"),
    ("crypto.x509.parse_certificates", "s", "a"),
    ("crypto.x509.parse_keypair", "s s", "o"),
    ("crypto.x509.parse_rsa_private_key", "s", "o"),
    ("div", "n n", "n"),
    ("endswith", "s s", "b"),
    ("equal", "* *", "b"),
    ("floor", "n", "n"),
    ("format_int", "n n", "s"),
    ("glob.match", "s az s", "b"),
    ("glob.quote_meta", "s", "s"),
    ("graph.reachable", "o at", "t"),
    ("graph.reachable_paths", "o at", "t"),
    ("graphql.is_valid", "os os", "b"),
    ("graphql.parse", "os os", "a"),
    ("graphql.parse_and_verify", "os os", "a"),
    ("graphql.parse_query", "s", "o"),
    ("graphql.parse_schema", "s", "o"),
    ("graphql.schema_is_valid", "os", "b"),
    ("gt", "* *", "b"),
    ("gte", "* *", "b"),
    ("hex.decode", "s", "s"),
    ("hex.encode", "s", "s"),
    ("http.send", "o", "o"),
    ("indexof", "s s", "n"),
    ("indexof_n", "s s", "a"),
    ("intersection", "t", "t"),
    ("io.jwt.decode", "s", "a"),
    ("io.jwt.decode_verify", "s o", "a"),
    ("io.jwt.encode_sign", "o o o", "s"),
    ("io.jwt.encode_sign_raw", "s s s", "s"),
    ("io.jwt.verify_eddsa", "s s", "b"),
    ("io.jwt.verify_es256", "s s", "b"),
    ("io.jwt.verify_es384", "s s", "b"),
    ("io.jwt.verify_es512", "s s", "b"),
    ("io.jwt.verify_hs256", "s s", "b"),
    ("io.jwt.verify_hs384", "s s", "b"),
    ("io.jwt.verify_hs512", "s s", "b"),
    ("io.jwt.verify_ps256", "s s", "b"),
    ("io.jwt.verify_ps384", "s s", "b"),
    ("io.jwt.verify_ps512", "s s", "b"),
    ("io.jwt.verify_rs256", "s s", "b"),
    ("io.jwt.verify_rs384", "s s", "b"),
    ("io.jwt.verify_rs512", "s s", "b"),
    ("is_array", "*", "b"),
    ("is_boolean", "*", "b"),
    ("is_null", "*", "b"),
    ("is_number", "*", "b"),
    ("is_object", "*", "b"),
    ("is_set", "*", "b"),
    ("is_string", "*", "b"),
    ("json.filter", "o at", "o"),
    ("json.is_valid", "s", "b"),
    ("json.marshal", "*", "s"),
    ("json.marshal_with_options", "* o", "s"),
    ("json.match_schema", "os os", "a"),
    ("json.patch", "* a", "*"),
    ("json.remove", "o at", "o"),
    ("json.unmarshal", "s", "*"),
    ("json.verify_schema", "os", "a"),
    ("lower", "s", "s"),
    ("lt", "* *", "b"),
    ("lte", "* *", "b"),
    ("max", "at", "*"),
    ("min", "at", "*"),
    ("minus", "nt nt", "nt"),
    ("mul", "n n", "n"),
    ("neq", "* *", "b"),
    ("net.cidr_contains", "s s", "b"),
    ("net.cidr_contains_matches", "aost aost", "t"),
    ("net.cidr_expand", "s", "t"),
    ("net.cidr_intersects", "s s", "b"),
    ("net.cidr_is_valid", "s", "b"),
    ("net.cidr_merge", "at", "t"),
    ("net.cidr_overlap", "s s", "b"),
    ("net.lookup_ip_addr", "s", "t"),
    ("numbers.range", "n n", "a"),
    ("numbers.range_step", "n n n", "a"),
    ("object.filter", "o aot", "o"),
    ("object.get", "o * *", "*"),
    ("object.keys", "o", "t"),
    ("object.remove", "o aot", "o"),
    ("object.subset", "aot aot", "b"),
    ("object.union", "o o", "o"),
    ("object.union_n", "a", "o"),
    ("opa.runtime", "", "o"),
    ("or", "t t", "t"),
    ("plus", "n n", "n"),
    ("product", "at", "n"),
    ("providers.aws.sign_req", "o o n", "o"),
    ("rand.intn", "s n", "n"),
    ("re_match", "s s", "b"),
    ("regex.find_all_string_submatch_n", "s s n", "a"),
    ("regex.find_n", "s s n", "a"),
    ("regex.globs_match", "s s", "b"),
    ("regex.is_valid", "s", "b"),
    ("regex.match", "s s", "b"),
    ("regex.replace", "s s s", "s"),
    ("regex.split", "s s", "a"),
    ("regex.template_match", "s s s s", "b"),
    ("rego.metadata.chain", "", "a"),
    ("rego.metadata.rule", "", "*"),
    ("rego.parse_module", "s s", "o"),
    ("rem", "n n", "n"),
    ("replace", "s s s", "s"),
    ("round", "n", "n"),
    ("semver.compare", "s s", "n"),
    ("semver.is_valid", "*", "b"),
    ("set_diff", "t t", "t"),
    ("sort", "at", "a"),
    ("split", "s s", "a"),
    ("sprintf", "s a", "s"),
    ("startswith", "s s", "b"),
    ("strings.any_prefix_match", "ast ast", "b"),
    ("strings.any_suffix_match", "ast ast", "b"),
    ("strings.count", "s s", "n"),
    ("strings.render_template", "s o", "s"),
    ("strings.replace_n", "o s", "s"),
    ("strings.reverse", "s", "s"),
    ("strings.split_n", "s s n", "a"),
    ("substring", "s n n", "s"),
    ("sum", "at", "n"),
    ("time.add_date", "n n n n", "n"),
    ("time.clock", "an", "a"),
    ("time.date", "an", "a"),
    ("time.diff", "an an", "a"),
    ("time.format", "an", "s"),
    ("time.now_ns", "", "n"),
    ("time.parse_duration_ns", "s", "n"),
    ("time.parse_ns", "s s", "n"),
    ("time.parse_rfc3339_ns", "s", "n"),
    ("time.weekday", "an", "s"),
    ("to_number", "bnsz", "n"),
    ("trace", "s", "b"),
    ("trim", "s s", "s"),
    ("trim_left", "s s", "s"),
    ("trim_prefix", "s s", "s"),
    ("trim_right", "s s", "s"),
    ("trim_space", "s", "s"),
    ("trim_suffix", "s s", "s"),
    ("type_name", "*", "s"),
    ("union", "t", "t"),
    ("units.parse", "s", "n"),
    ("units.parse_bytes", "s", "n"),
    ("upper", "s", "s"),
    ("uri.is_valid", "s", "b"),
    ("uri.parse", "s", "o"),
    ("urlquery.decode", "s", "s"),
    ("urlquery.decode_object", "s", "o"),
    ("urlquery.encode", "s", "s"),
    ("urlquery.encode_object", "o", "s"),
    ("uuid.parse", "s", "o"),
    ("uuid.rfc4122", "s", "s"),
    ("walk", "*", "a"),
    ("yaml.is_valid", "s", "b"),
    ("yaml.marshal", "*", "s"),
    ("yaml.unmarshal", "s", "*"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_functions_are_found() {
        assert!(FUNCTIONS.iter().all(|(name, _, _)| find(name).is_some()));
        let sprintf = Function { name: "sprintf", arguments: vec![STRING, ARRAY], result: STRING };
        assert_eq!(find("sprintf"), Some(sprintf));
        assert_eq!(find("strings.shout"), None);
    }
}
