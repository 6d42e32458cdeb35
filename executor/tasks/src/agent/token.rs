//! Tokens that plugins know their agent by, and the plugins that the controller names.

use emissary_contract::path;
use rustls::crypto::ring::default_provider;

use crate::failure::{Doing as _, Failure};
use crate::files;
use crate::pod::Pod;
use crate::shared::read_text;

/// Characters of a token. There are 32, so that five bits of chance are one, and none is likelier than another.
const CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// How many characters a token has: 160 bits.
const LENGTH: usize = 32;
/// The longest token that is read, bytes.
const LONGEST: u64 = 1 << 10;
/// The file in a plugin's folder.
const FILE: &str = "token";

/// The containers of plugins, in the controller's order.
///
/// # Errors
/// Where they are no list, or a name would lead out of the shared folder.
pub(super) fn plugins(pod: &Pod) -> Result<Vec<String>, Failure> {
    let names = list(pod.environment.agent.names.as_deref(), "ARGO_PLUGIN_NAMES")?;
    match names.iter().find(|name| name.is_empty() || name.contains('/') || name.starts_with('.')) {
        Some(name) => Err(Failure::own(format!("ARGO_PLUGIN_NAMES: {name:?} is no name of a container"))),
        None => Ok(names),
    }
}

/// A list of texts, which is JSON; `null` where Go has none.
pub(super) fn list(text: Option<&str>, variable: &str) -> Result<Vec<String>, Failure> {
    let list: Option<Vec<String>> =
        serde_json::from_str(text.unwrap_or("null")).doing(|| format!("{variable} is no list of texts"))?;
    Ok(list.unwrap_or_default())
}

/// `agent init`: a new token for each plugin, in the folder that is mounted into its container.
///
/// # Errors
/// Where there is no chance to be had, or a file cannot be written.
pub(crate) fn write(pod: &Pod) -> Result<(), Failure> {
    for name in plugins(pod)? {
        let folder = pod.shared.place(path::SHARED).join(&name);
        let token = random()?;
        let written =
            files::make_folder(&folder, 0o770).and_then(|()| files::write(&folder.join(FILE), token.as_bytes(), 0o440));
        written.doing(|| format!("cannot write the token of plugin {name} in {}", folder.display()))?;
        pod.say(|| format!("plugin {name} has a token"));
    }
    Ok(())
}

/// A plugin's token.
///
/// # Errors
/// Where `agent init` has left none.
pub(super) fn read(pod: &Pod, name: &str) -> Result<String, Failure> {
    let file = pod.shared.place(path::SHARED).join(name).join(FILE);
    let token =
        read_text(&file, LONGEST).doing(|| format!("cannot read the token of plugin {name}, {}", file.display()))?;
    Ok(token.trim().to_owned())
}

fn random() -> Result<String, Failure> {
    let mut bytes = [0; LENGTH];
    if default_provider().secure_random.fill(&mut bytes).is_err() {
        return Err(Failure::own("the system gives no random bytes"));
    }
    let character = |byte: u8| CHARACTERS.get(usize::from(byte & 31)).copied().map_or('a', char::from);
    Ok(bytes.map(character).iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_eq!((one.len(), other.len()), (32, 32));
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| CHARACTERS.contains(&byte)), "{one}");
    }

    #[test]
    fn lists_are_read_as_go_writes_them() {
        for (text, expected) in [(None, 0), (Some("null"), 0), (Some("[]"), 0), (Some("[\"a\",\"b\"]"), 2)] {
            assert_eq!(list(text, "X").unwrap().len(), expected, "{text:?}");
        }
        assert!(list(Some("[1]"), "X").is_err());
        assert!(list(Some("["), "X").is_err());
    }
}
