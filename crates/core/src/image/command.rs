use super::ImageProcess;

/// What a container runtime executes, split the way a pod spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Goes into `command`. May be empty while `args` is not: then `args[0]` is the program.
    pub command: Vec<String>,
    /// `None` where the container's own `args` stay as they are; `Some` where the image's `CMD` takes their place.
    pub args: Option<Vec<String>>,
}

/// Combines a container that has no `command` with its image (Kubernetes API, `Container.command` and `.args`).
///
/// Returns `None` where nothing at all would run: no entrypoint, no args, no cmd.
/// What comes from the image is [escaped](escape), since the kubelet expands a pod's fields but nothing expands an image's.
pub fn effective(image: &ImageProcess, has_args: bool) -> Option<Effective> {
    let command: Vec<String> = image.entrypoint.iter().map(|word| escape(word)).collect();
    if has_args {
        return Some(Effective { command, args: None });
    }
    if command.is_empty() && image.cmd.is_empty() {
        return None;
    }
    let args: Vec<String> = image.cmd.iter().map(|word| escape(word)).collect();
    Some(Effective { command, args: (!args.is_empty()).then_some(args) })
}

/// Writes a word so that the kubelet's expansion of `$(NAME)` gives it back unchanged.
///
/// The kubelet reads `$$` as one dollar and `$(NAME)` as a variable, and leaves any other dollar alone
/// (`k8s.io/kubernetes/third_party/forked/golang/expansion`). So a dollar is doubled where the next byte is a dollar or an
/// opening parenthesis, and each dollar of a run is.
pub fn escape(word: &str) -> String {
    if !word.contains("$$") && !word.contains("$(") {
        return word.to_owned();
    }
    word.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(entrypoint: &[&str], cmd: &[&str]) -> ImageProcess {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        ImageProcess { entrypoint: own(entrypoint), cmd: own(cmd), user: None }
    }

    #[test]
    fn combines_as_the_runtime_does() {
        type Row<'a> = (&'a [&'a str], &'a [&'a str], bool, Option<(&'a [&'a str], Option<&'a [&'a str]>)>);
        let table: [Row<'_>; 7] = [
            (&["a"], &["b"], false, Some((&["a"], Some(&["b"])))),
            (&["a"], &["b"], true, Some((&["a"], None))),
            (&["a"], &[], false, Some((&["a"], None))),
            (&[], &["b"], false, Some((&[], Some(&["b"])))),
            (&[], &["b"], true, Some((&[], None))),
            (&[], &[], true, Some((&[], None))),
            (&[], &[], false, None),
        ];
        for (entrypoint, cmd, has_args, expected) in table {
            let got = effective(&process(entrypoint, cmd), has_args);
            let got = got.as_ref().map(|e| {
                (
                    e.command.iter().map(String::as_str).collect::<Vec<_>>(),
                    e.args.as_ref().map(|a| a.iter().map(String::as_str).collect::<Vec<_>>()),
                )
            });
            let expected = expected.map(|(command, args)| (command.to_vec(), args.map(<[&str]>::to_vec)));
            assert_eq!(got, expected, "entrypoint {entrypoint:?}, cmd {cmd:?}, args given: {has_args}");
        }
    }

    /// The kubelet's own expansion with no variable defined: an undefined `$(NAME)` stays as it is written.
    fn expand(input: &str) -> String {
        let bytes: Vec<char> = input.chars().collect();
        let (mut out, mut at) = (String::new(), 0);
        while at < bytes.len() {
            match (bytes[at], bytes.get(at + 1)) {
                ('$', Some('$')) => {
                    out.push('$');
                    at += 2;
                }
                ('$', Some('(')) => {
                    out.push_str("<expanded>");
                    at += 2;
                }
                (other, _) => {
                    out.push(other);
                    at += 1;
                }
            }
        }
        out
    }

    #[test]
    fn escaped_words_reach_the_process_unchanged() {
        for word in ["plain", "$HOME", "a$", "$(HOME)", "$$(HOME)", "$$", "$$$", "a$(b)$c$$d$", "${X}", "cost: 5$ $(X)"]
        {
            assert_eq!(expand(&escape(word)), word, "{word:?} written as {:?}", escape(word));
        }
    }

    #[test]
    fn words_that_need_nothing_are_left_alone() {
        assert_eq!(escape("$HOME/bin"), "$HOME/bin");
    }
}
